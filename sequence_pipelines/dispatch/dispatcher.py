"""Publishes sends that are due soon as timed messages.

The message is sent first, then the row is marked, so no send is lost.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from sequence_store.domain.messages import SendKey
from sequence_store.failpoints import Failpoint, reach
from sequence_store.postgres.lookback import lookback_start
from sequence_store.postgres.queries import query
from sequence_store.settings import PipelineSettings
from sequence_store.sqs import MAX_DELAY_SECONDS, Outgoing, Queue, batched
from sequence_store.tracing.traces import OFF, Traces

MARK_BATCH = 500


@dataclass
class Dispatched:
    """The result of one dispatch; `locked` if another dispatcher was running.

    `first` and `last` are the times of the first and the last send that were ready.
    """

    sent: int = 0
    not_confirmed: int = 0
    expired: int = 0
    locked: bool = False
    first: datetime | None = None
    last: datetime | None = None


class Ready(NamedTuple):
    """Counts of undispatched sends: `ready` to publish, `overdue` to expire; `first` is the earliest one.

    `following` is the time of the next planned send after now, whether it is ready or not.
    """

    ready: int
    overdue: int
    first: datetime | None
    following: datetime | None


def dispatch(
    connection: psycopg.Connection[Any], queue: Queue, settings: PipelineSettings, traces: Traces = OFF
) -> Dispatched:
    """Expire overdue sends and publish those due within DISPATCH_AHEAD_SECONDS; needs autocommit.

    After a crash between sending and marking, the next dispatch sends the same rows again; the worker's claim
    makes the second message harmless. A batch that SQS does not confirm stays planned.
    """
    done, began = Dispatched(), time.time_ns()
    if connection.execute(query("dispatch", "lock_dispatch")).fetchone() != (True,):
        done.locked = True
        return done
    since = lookback_start(settings)
    done.expired = connection.execute(
        query("dispatch", "expire_overdue"), {"since": since, "now": None}
    ).rowcount
    rows = connection.execute(
        query("dispatch", "read_ready"), {"since": since, "ahead_seconds": settings.dispatch_ahead_seconds}
    ).fetchall()
    if rows:
        done.first, done.last = rows[0][5], rows[-1][5]
    by_id = {str(n): row for n, row in enumerate(rows)}
    messages = [_message(number, row, settings.sequence_environment) for number, row in by_id.items()]
    confirmed = (by_id[number] for batch in queue.send(messages) for number in batch)
    reach(Failpoint.DISPATCH_READ)
    for batch in batched(confirmed, MARK_BATCH):
        reach(Failpoint.DISPATCH_SENT)
        done.sent += _mark(connection, batch)
        traces.of_sends("dispatch", (SendKey(*row[:4]) for row in batch), began)
    reach(Failpoint.DISPATCH_MARKED)
    done.not_confirmed = len(rows) - done.sent
    return done


def count_ready(connection: psycopg.Connection[Any], settings: PipelineSettings, ahead_seconds: int) -> Ready:
    """Count the sends that a dispatch would publish or expire if it looked `ahead_seconds` ahead."""
    parameters = {"since": lookback_start(settings), "ahead_seconds": ahead_seconds}
    ready, overdue, first = connection.execute(query("dispatch", "count_ready"), parameters).fetchall()[0]
    following = connection.execute(query("dispatch", "find_next")).fetchone()
    return Ready(ready, overdue, first, following[0] if following else None)


def _message(number: str, row: tuple[Any, ...], environment: str) -> Outgoing:
    sequence_id, contact_id, step_id, round_, mailbox_id, send_at, not_after, attempt, delay = row
    body = {
        "v": 1,
        "sequence_id": sequence_id,
        "contact_id": contact_id,
        "sequence_step_id": step_id,
        "round": round_,
        "mailbox_id": mailbox_id,
        "send_at": send_at.isoformat(),
        "not_after": not_after.isoformat(),
        "attempt": attempt,
        "environment": environment,
    }
    return Outgoing(number, json.dumps(body), min(delay, MAX_DELAY_SECONDS))


def _mark(connection: psycopg.Connection[Any], rows: list[tuple[Any, ...]]) -> int:
    columns = list(zip(*rows, strict=True))
    names = ("sequence_ids", "contact_ids", "step_ids", "rounds")
    keys = {name: list(column) for name, column in zip(names, columns, strict=False)}
    return connection.execute(
        query("dispatch", "mark_dispatched"), {**keys, "attempts": list(columns[7])}
    ).rowcount
