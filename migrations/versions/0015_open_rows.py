"""How a plan finds the sends that it may take again.

Revision 0015, after 0014.
"""

from __future__ import annotations

from migrations.revision import run_sql_file

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    run_sql_file(__file__, "up")


def downgrade() -> None:
    run_sql_file(__file__, "down")
