"""What lets the ledger stay small: an archive that keeps each mail's key.

Revision 0014, after 0007.
"""

from __future__ import annotations

from migrations.revision import run_sql_file

revision = "0014"
down_revision = "0007"


def upgrade() -> None:
    run_sql_file(__file__, "up")


def downgrade() -> None:
    run_sql_file(__file__, "down")
