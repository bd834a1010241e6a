"""Computes how far back the ledger must be read: older sends are settled."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from sequence_store.postgres.queries import query
from sequence_store.settings import PipelineSettings

SHORTEST_LOOKBACK = timedelta(days=3)  # a plan expires live sends that are older
LIVE_AT_MOST = timedelta(days=2)  # a send is live for a planning day and its grace period
OUTCOME_WITHIN = timedelta(days=1)  # of its second, a send has its outcome or becomes unknown


def lookback_start(settings: PipelineSettings) -> datetime:
    """Return the instant from which the frequent queries look for live sends."""
    grace = timedelta(seconds=settings.send_grace_seconds)
    return datetime.now(UTC) - max(SHORTEST_LOOKBACK, 2 * grace)


def oldest_live(
    connection: psycopg.Connection[Any], settings: PipelineSettings, before: datetime
) -> datetime:
    """Return an instant before which, at `before`, no send is live, and none is finished but not applied.

    Counts back from the last send before `before`: if nothing ran for days, that send is old.
    """
    row = connection.execute(query("plan", "read_last_send_before"), {"before": before}).fetchone()
    return min(before, row[0] if row else before) - max(LIVE_AT_MOST, _settled_within(settings))


def oldest_unsettled(connection: psycopg.Connection[Any], settings: PipelineSettings) -> datetime:
    """Return an instant before which every send is settled, also if nothing ran for days."""
    before = min(lookback_start(settings), datetime.now(UTC) - _settled_within(settings))
    return oldest_live(connection, settings, before)


def _settled_within(settings: PipelineSettings) -> timedelta:
    """Return the time after its second within which a send has its outcome or counts as sent."""
    return timedelta(seconds=settings.unknown_settles) + OUTCOME_WITHIN
