"""Sequences, mailboxes, contacts, enrolments and the ledger of sends.

Revision 0001, the first.
"""

from __future__ import annotations

from migrations.revision import run_sql_file

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_sql_file(__file__, "up")


def downgrade() -> None:
    run_sql_file(__file__, "down")
