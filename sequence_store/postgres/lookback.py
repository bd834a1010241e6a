"""How far back the ledger has to be looked at: whatever is older is settled, however long the ledger has become."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from sequence_store.postgres.queries import query
from sequence_store.settings import PipelineSettings

DISPATCHED_WITHIN = timedelta(days=3)  # live rows older than this are a plan's to release
LIVES = timedelta(days=2)  # a send lives for a planning day and its grace
TOLD_WITHIN = timedelta(days=1)  # after its second, whether a mail went out or nobody knows


def lookback_start(settings: PipelineSettings) -> datetime:
    """Return the instant from which on live rows are looked for, every minute."""
    return datetime.now(UTC) - max(DISPATCHED_WITHIN, timedelta(seconds=2 * settings.send_grace_seconds))


def oldest_live(
    connection: psycopg.Connection[Any], settings: PipelineSettings, before: datetime
) -> datetime:
    """Return an instant before which nothing is live, or finished and not applied, at the first look after `before`.

    Counted from the last send before it: after days on which nothing ran that was long ago.
    """
    row = connection.execute(query("plan", "read_last_send_before"), {"before": before}).fetchone()
    return min(before, row[0] if row else before) - max(LIVES, _settles(settings))


def oldest_unsettled(connection: psycopg.Connection[Any], settings: PipelineSettings) -> datetime:
    """Return how far back to look for what is unsettled, until it is settled after nothing had run for days."""
    before = min(lookback_start(settings), datetime.now(UTC) - _settles(settings))
    return oldest_live(connection, settings, before)


def _settles(settings: PipelineSettings) -> timedelta:
    """Return within what time of its second a send has its outcome, or counts as sent."""
    return timedelta(seconds=settings.unknown_settles) + TOLD_WITHIN
