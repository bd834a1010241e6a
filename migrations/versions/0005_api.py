"""The API's keys, its answers to repeated requests, and the indexes that its lists are read by.

Revision 0005, after 0006.
"""

from __future__ import annotations

from migrations.revision import run_sql_file

revision = "0005"
down_revision = "0006"


def upgrade() -> None:
    run_sql_file(__file__, "up")


def downgrade() -> None:
    run_sql_file(__file__, "down")
