"""The functions that move a send through its states; the worker knows nothing else of the database.

Revision 0002, after 0001.
"""

from __future__ import annotations

from migrations.revision import run_sql_file

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_sql_file(__file__, "up")


def downgrade() -> None:
    run_sql_file(__file__, "down")
