"""What keeps a mailbox able to send: replaced tokens, its name's protection, and what comes back to it.

Revision 0007, after 0005.
"""

from __future__ import annotations

from migrations.revision import run_sql_file

revision = "0007"
down_revision = "0005"


def upgrade() -> None:
    run_sql_file(__file__, "up")


def downgrade() -> None:
    run_sql_file(__file__, "down")
