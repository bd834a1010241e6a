"""Stores what the distances, the grid of gaps, the ramp-up and the proof of a plan need.

Revision 0004_distances_and_fairness, after 0003_written_addresses.
"""

from __future__ import annotations

from migrations.revision import apply_functions, run_sql_file

revision = "0004_distances_and_fairness"
down_revision = "0003_written_addresses"


def upgrade() -> None:
    apply_functions("triggers")  # a trigger names them
    run_sql_file(__file__, "up")


def downgrade() -> None:
    run_sql_file(__file__, "down")
