"""Gives the events of the feed their positions (the SQL function `sequence_events`)."""

from __future__ import annotations

from typing import Any

import psycopg

from sequence_store.postgres.queries import query

BATCH = 1_000  # events of a transaction, which takes some tenths of a second
# The verdict on a followed link may change for five seconds (record_link in
# migrations/functions/tracking.sql); a second more lets the transaction that changes it commit.
HOLD_SECONDS = 6.0
MOST_BATCHES = 1_000


def drain_feed(connection: psycopg.Connection[Any], *, hold_seconds: float = HOLD_SECONDS) -> int:
    """Give positions to all events that are committed; return how many got one. Commits each batch.

    If another program is at it, or changes the same events, return what was done so far.
    """
    total = 0
    for _ in range(MOST_BATCHES):
        parameters = {"most": BATCH, "hold_seconds": hold_seconds}
        try:
            row = connection.execute(query("feed", "sequence_events"), parameters).fetchone()
        except psycopg.errors.DeadlockDetected:  # an erasure changes the same events: the next call goes on
            connection.rollback()
            break
        if not connection.autocommit:
            connection.commit()
        if row is None or not row[0]:
            break
        total += row[0]
    return total


def remove_old_events(connection: psycopg.Connection[Any], days: int, *, most: int = 10_000) -> int:
    """Remove the events that are older than `days` and not kept as a record; return how many. Commits."""
    total = 0
    while True:
        row = connection.execute(query("feed", "remove_old"), {"days": days, "most": most}).fetchone()
        if not connection.autocommit:
            connection.commit()
        if row is None or not row[0]:
            return total
        total += row[0]
