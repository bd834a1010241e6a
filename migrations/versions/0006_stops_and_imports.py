"""Stopping everything for an address, erasing a contact, and what became of a file that was imported.

Revision 0006, after 0004.
"""

from __future__ import annotations

from migrations.revision import run_sql_file

revision = "0006"
down_revision = "0004"


def upgrade() -> None:
    run_sql_file(__file__, "up")


def downgrade() -> None:
    run_sql_file(__file__, "down")
