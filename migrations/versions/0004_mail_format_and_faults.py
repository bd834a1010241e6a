"""Stores the format of a step, refusals by address and by policy, and suppressions with an end.

Revision 0004_mail_format_and_faults, after 0003_written_addresses.
"""

from __future__ import annotations

from migrations.revision import run_sql_file

revision = "0004_mail_format_and_faults"
down_revision = "0003_written_addresses"


def upgrade() -> None:
    run_sql_file(__file__, "up")


def downgrade() -> None:
    run_sql_file(__file__, "down")
