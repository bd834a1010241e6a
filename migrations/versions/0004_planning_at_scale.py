"""What lets a plan of a million contacts ask each address only once, and write its rows by COPY.

Revision 0004, after 0003.
"""

from __future__ import annotations

from migrations.revision import run_sql_file

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    run_sql_file(__file__, "up")


def downgrade() -> None:
    run_sql_file(__file__, "down")
