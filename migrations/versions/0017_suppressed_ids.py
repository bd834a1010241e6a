"""The index that tells suppressed contacts holds their ids too.

Revision 0017, after 0016.
"""

from __future__ import annotations

from migrations.revision import run_sql_file

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    run_sql_file(__file__, "up")


def downgrade() -> None:
    run_sql_file(__file__, "down")
