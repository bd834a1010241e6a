"""Adds the pauses of all sending, and lets two sequences have one name.

Revision 0002_pause_all_and_names, after 0001_baseline.
"""

from __future__ import annotations

from alembic import op

from migrations.revision import run_sql_file

revision = "0002_pause_all_and_names"
down_revision = "0001_baseline"


def upgrade() -> None:
    # Each statement is a transaction of its own, and running it again is safe.
    with op.get_context().autocommit_block():
        op.execute(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS sequences_by_name ON sequences (sequence_name, id)"
            " WHERE deleted_at IS NULL"
        )
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS sequences_name_key")
    run_sql_file(__file__, "up")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute(
            "CREATE UNIQUE INDEX CONCURRENTLY sequences_name_key ON sequences (sequence_name)"
            " WHERE deleted_at IS NULL"
        )
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS sequences_by_name")
    run_sql_file(__file__, "down")
