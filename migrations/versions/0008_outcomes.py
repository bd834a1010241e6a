"""Gives events their positions in the feed; adds facts, roll-ups, webhooks and the results of checks.

Revision 0008_outcomes, after 0007_stops_and_inbox_verdicts.
"""

from __future__ import annotations

from alembic import op

from migrations.revision import apply_functions, run_sql_file

revision = "0008_outcomes"
down_revision = "0007_stops_and_inbox_verdicts"


def upgrade() -> None:
    op.execute(
        "ALTER TABLE send_events ADD COLUMN IF NOT EXISTS position bigint,"
        " ADD COLUMN IF NOT EXISTS machine boolean"
    )
    # Each statement is a transaction of its own, and running it again is safe.
    with op.get_context().autocommit_block():
        op.execute(
            "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS send_events_position ON send_events (position)"
            " WHERE position IS NOT NULL"
        )
        op.execute(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS send_events_waiting ON send_events (id)"
            " WHERE position IS NULL"
        )
        # Each mail has events now; the index by step serves message faults only.
        op.execute(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS send_events_message_faults ON send_events (step_id, at)"
            " WHERE kind = 'message_fault'"
        )
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS send_events_step")
        op.execute(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS archived_sends_send_at ON archived_sends (send_at)"
        )
    apply_functions("triggers")  # the triggers name them
    run_sql_file(__file__, "up")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS send_events_step ON send_events (step_id, kind, at)"
        )
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS send_events_message_faults")
    run_sql_file(__file__, "down")
