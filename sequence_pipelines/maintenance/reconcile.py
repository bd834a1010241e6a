"""Reconciles the ledger: vanished messages, lost claims, transmissions without an answer, results without a message."""

from __future__ import annotations

from typing import Any

import psycopg

from sequence_pipelines.results.consumer import apply_without_message
from sequence_store.failpoints import Failpoint, reach
from sequence_store.postgres.lookback import oldest_unsettled
from sequence_store.postgres.queries import query
from sequence_store.settings import PipelineSettings
from sequence_store.tracing.traces import OFF, Traces


def reconcile(
    connection: psycopg.Connection[Any], settings: PipelineSettings, traces: Traces = OFF
) -> dict[str, int]:
    """Reconcile the ledger and apply finished sends without a message; return the counts by kind. Commits."""
    found = reconcile_ledger(connection, settings)
    since = oldest_unsettled(connection, settings)
    applied = apply_without_message(connection, settings, traces, since)
    unknown, transmitting, _ = connection.execute(
        query("reconcile", "count_unsettled"), {"since": since}
    ).fetchall()[0]
    return found | {
        "swept_up_without_message": applied.advanced,
        "unknown": unknown,
        "transmitting": transmitting,
    }


def reconcile_ledger(connection: psycopg.Connection[Any], settings: PipelineSettings) -> dict[str, int]:
    """Repair the rows whose owner is gone, from the ledger alone; return how many of each kind. Commits."""
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
