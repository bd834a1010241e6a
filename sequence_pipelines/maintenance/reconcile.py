"""Reconciles the ledger after lost messages, lost claims, missing replies of servers and lost results."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from sequence_pipelines.results.consumer import apply_without_message
from sequence_store.failpoints import Failpoint, reach
from sequence_store.feed import drain_feed
from sequence_store.postgres.lookback import oldest_unsettled
from sequence_store.postgres.queries import query
from sequence_store.settings import PipelineSettings
from sequence_store.tracing.traces import OFF, Traces


class Unsettled(NamedTuple):
    """Counts of unsettled sends; `not_advanced` are finished sends that have not advanced their enrolment."""

    unknown: int
    transmitting: int
    not_advanced: int


def reconcile(
    connection: psycopg.Connection[Any], settings: PipelineSettings, traces: Traces = OFF
) -> dict[str, int]:
    """Reconcile the ledger and apply finished sends without a message; return the counts by kind. Commits."""
    found = reconcile_ledger(connection, settings)
    since = oldest_unsettled(connection, settings)
    applied = apply_without_message(connection, settings, traces, since)
    unsettled = count_unsettled(connection, since)
    positioned = drain_feed(connection)
    return found | {
        "events_positioned": positioned,
        "swept_up_without_message": applied.advanced,
        "unknown": unsettled.unknown,
        "transmitting": unsettled.transmitting,
    }


def reconcile_ledger(connection: psycopg.Connection[Any], settings: PipelineSettings) -> dict[str, int]:
    """Repair the sends whose message or worker is lost, from the ledger alone; return the counts. Commits."""
    since = oldest_unsettled(connection, settings)

    def run(name: str, **parameters: Any) -> list[tuple[Any, ...]]:
        return connection.execute(query("reconcile", name), {"since": since, **parameters}).fetchall()

    expired = connection.execute(query("dispatch", "expire_overdue"), {"since": since, "now": None}).rowcount
    vanished = run("requeue_dispatched", older_than_seconds=settings.vanished_after_seconds)
    claims = run("release_lost_claims", older_than_seconds=settings.vanished_after_seconds)
    unknown = run(
        "settle_transmitting",
        bound_seconds=settings.transmitting_bound_seconds,
        park_seconds=settings.park_seconds,
    )
    reach(Failpoint.RECONCILE_SETTLED)
    connection.commit()
    return {
        "expired": expired,
        "messages_vanished": len(vanished),
        "claims_lost": len(claims),
        "became_unknown": len(unknown),
    }


def count_unsettled(connection: psycopg.Connection[Any], since: datetime) -> Unsettled:
    """Count the unsettled sends whose send_at is `since` or later."""
    return Unsettled(
        *connection.execute(query("reconcile", "count_unsettled"), {"since": since}).fetchall()[0]
    )
