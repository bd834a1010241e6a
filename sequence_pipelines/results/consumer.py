"""Consumes delivery results: applies the outcomes of workers, and records the reports of mail providers."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from sequence_pipelines.results.advance import Applied, apply_sends, find_unapplied
from sequence_pipelines.results.ses_notifications import (
    CertificateUnavailableError,
    Notifications,
    is_notification,
)
from sequence_store.domain.messages import DeliveryResult, SendKey, parse_message
from sequence_store.errors import MalformedMessageError
from sequence_store.failpoints import Failpoint, reach
from sequence_store.postgres.lookback import lookback_start
from sequence_store.postgres.queries import query
from sequence_store.settings import PipelineSettings
from sequence_store.sqs import Incoming, Queue
from sequence_store.tracing.traces import OFF, Traces

BATCH = 200  # messages per transaction: 20 receives
MOST_SECONDS = 240  # a run stops receiving then; the next run continues
RECORDED = "recorded"  # returned by record_feedback; a repeated report returns "known"


@dataclass
class Consumed:
    """Counts of the messages that one run received, and the reason why it stopped."""

    results: int = 0
    malformed: int = 0
    feedback: Counter[str] = field(default_factory=Counter)
    stopped: str = "drained"
    applied: Applied = field(default_factory=Applied)


def consume_results(
    connection: psycopg.Connection[Any],
    queue: Queue,
    settings: PipelineSettings,
    notifications: Notifications | None = None,
    traces: Traces = OFF,
) -> Consumed:
    """Receive, apply, commit and delete in batches, until the queue is empty or MOST_SECONDS have passed."""
    consumed = Consumed()
    secret, *earlier = settings.known_message_id_keys
    notifications = notifications or Notifications(secret, earlier_secrets=earlier)
    deadline = time.monotonic() + MOST_SECONDS
    while messages := queue.receive_many(BATCH):
        began = time.time_ns()
        reach(Failpoint.RESULTS_RECEIVED)
        reports, results = _split(messages)
        handled = [m for m in reports if _record(connection, queue, m, notifications, settings, consumed)]
        keys = [key for message in results if (key := _key_of(queue, message, consumed))]
        now = datetime.now(UTC)
        applied = apply_sends(connection, keys, now=now, unknown_settles=settings.unknown_settles)
        reach(Failpoint.RESULTS_APPLIED)
        connection.commit()
        reach(Failpoint.RESULTS_COMMITTED)
        queue.delete(results + handled)
        consumed.applied.add(applied)
        traces.of_sends("result", applied.keys, began)
        consumed.results += len(keys)
        if time.monotonic() > deadline:
            consumed.stopped = "time is up"
            break
    return consumed


def apply_without_message(
    connection: psycopg.Connection[Any],
    settings: PipelineSettings,
    traces: Traces = OFF,
    since: datetime | None = None,
) -> Applied:
    """Apply finished sends whose message was lost, and unknown sends that have settled. Commits.

    `since` is the earliest send_at; default: lookback_start.
    """
    now, began = datetime.now(UTC), time.time_ns()
    since = since or lookback_start(settings)
    keys = find_unapplied(connection, since=since, now=now, unknown_settles=settings.unknown_settles)
    applied = apply_sends(connection, keys, now=now, unknown_settles=settings.unknown_settles)
    connection.commit()
    traces.of_sends("result", applied.keys, began)
    return applied


def _split(messages: list[Incoming]) -> tuple[list[Incoming], list[Incoming]]:
    """Split the messages into reports of providers and results of workers."""
    reports = [message for message in messages if is_notification(message.body)]
    return reports, [message for message in messages if message not in reports]


def _record(
    connection: psycopg.Connection[Any],
    queue: Queue,
    message: Incoming,
    notifications: Notifications,
    settings: PipelineSettings,
    consumed: Consumed,
) -> bool:
    """Record a provider's report; return True if its message can be deleted."""
    try:
        report = notifications.read(message.body)
    except CertificateUnavailableError:
        return False
    except MalformedMessageError as error:
        queue.dead_letter(message, str(error))
        consumed.malformed += 1
        return True
    if report:
        parameters = {
            **report.key._asdict(),
            "kind": report.kind,
            "detail": Jsonb(report.detail),
            "park_seconds": settings.park_seconds,
            "pads": settings.address_pads,
        }
        row = connection.execute(query("results", "record_feedback"), parameters).fetchone()
        consumed.feedback[report.kind] += row == (RECORDED,)
    return True


def _key_of(queue: Queue, message: Incoming, consumed: Consumed) -> SendKey | None:
    try:
        return parse_message(DeliveryResult, message.body).key
    except MalformedMessageError as error:
        queue.dead_letter(message, str(error))
        consumed.malformed += 1
        return None
