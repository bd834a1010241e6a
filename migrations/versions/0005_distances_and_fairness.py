"""Stores what the distances, the grid of gaps, the ramp-up and the proof of a plan need.

Revision 0005_distances_and_fairness, after 0004_mail_format_and_faults.
"""

from __future__ import annotations

from migrations.revision import apply_functions, run_sql_file

revision = "0005_distances_and_fairness"
down_revision = "0004_mail_format_and_faults"


def upgrade() -> None:
    apply_functions("triggers")  # a trigger names them
    run_sql_file(__file__, "up")


def downgrade() -> None:
    run_sql_file(__file__, "down")
