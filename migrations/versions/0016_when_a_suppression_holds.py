"""From when on a suppression holds.

Revision 0016, after 0015.
"""

from __future__ import annotations

from migrations.revision import run_sql_file

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    run_sql_file(__file__, "up")


def downgrade() -> None:
    run_sql_file(__file__, "down")
