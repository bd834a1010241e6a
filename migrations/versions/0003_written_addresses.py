"""Keeps what was written beside a contact's canonical address; counts opt-outs and missing names of imports.

Revision 0003_written_addresses, after 0002_pause_all_and_names.
"""

from __future__ import annotations

from migrations.revision import run_sql_file

revision = "0003_written_addresses"
down_revision = "0002_pause_all_and_names"


def upgrade() -> None:
    run_sql_file(__file__, "up")


def downgrade() -> None:
    run_sql_file(__file__, "down")
