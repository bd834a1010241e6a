"""Prevents repeated mails after a backup was restored: marks the sends that may have been mailed since."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from sequence_store.domain.messages import DeliveryResult, SendKey, parse_message
from sequence_store.domain.states import Outcome, SendStatus
from sequence_store.errors import MalformedMessageError, ProgramsAtWorkError
from sequence_store.postgres.queries import query
from sequence_store.settings import Settings
from sequence_store.sqs import Queue

STATUS_OF_OUTCOME = {Outcome.SENT: SendStatus.SENT, Outcome.HARD_FAILED: SendStatus.HARD_FAILED}


@dataclass(frozen=True)
class Guarded:
    """Counts of the marked sends by status: those in the snapshot, and those created after it."""

    of_snapshot: Counter[str]
    since: Counter[str]

    @property
    def total(self) -> Counter[str]:
        return self.of_snapshot + self.since


def results_in(queue: Queue) -> dict[SendKey, SendStatus]:
    """Return the outcomes in the results queue that were not applied yet; the messages stay in the queue."""
    received = []
    while more := queue.receive():
        received += more
    found: dict[SendKey, SendStatus] = {}
    for message in received:
        try:
            result = parse_message(DeliveryResult, message.body)
        except MalformedMessageError:
            continue
        if status := STATUS_OF_OUTCOME.get(result.outcome):
            found[result.key] = status
    for message in received:
        queue.hide(message, 0)
    return found


def guard(
    connection: psycopg.Connection[Any],
    settings: Settings,
    since: datetime,
    evidence: Mapping[SendKey, SendStatus],
    *,
    keep_places: bool = False,
    complete: bool = False,
) -> Guarded:
    """Mark every send that may have been mailed since `since`: with its status in `evidence`, or as unknown.

    keep_places   no plan was made since then: keep the slots that are in the future
    complete      the evidence names every mail since then: a send that it does not name was not mailed

    The caller commits. Raise ProgramsAtWorkError if programs are connected to the database. Repeating the
    call with the same evidence changes nothing.
    """
    programs = connection.execute(query("restore", "count_programs")).fetchall()[0][0]
    if programs:
        raise ProgramsAtWorkError(
            f"{programs} sessions of workers, pipelines or the API are connected to this database. Stop "
            "these programs first."
        )
    connection.execute(query("plan", "lock_planner"))
    connection.execute(query("restore", "create_evidence"))
    with connection.cursor() as cursor:
        cursor.executemany(
            query("restore", "enter_evidence"), [(*key, status) for key, status in evidence.items()]
        )
    how = {"keep_places": keep_places, "complete": complete}
    since_day = settings.calendar.day_of(since)
    days = {
        "since": since,
        "since_day": since_day,
        "since_day_starts": settings.calendar.start_of(since_day),
        "today": settings.calendar.day_of(datetime.now(UTC)),
    }
    live = connection.execute(query("restore", "spend_live"), how).fetchall()
    due = connection.execute(query("restore", "spend_due"), how | days).fetchall()
    connection.execute(query("restore", "end_bounced"), {"pads": settings.address_pads})
    connection.execute(query("restore", "count_days"), {"since": since})
    connection.execute(query("restore", "skip_ids"))
    connection.execute(query("restore", "record_outcomes"), {"since": since})
    connection.execute(query("restore", "skip_positions"))
    connection.execute(query("restore", "mark_days"), days)
    guarded = Guarded(Counter(row[0] for row in live), Counter(row[0] for row in due))
    detail = {"since": since.isoformat(), **how, **guarded.total}
    connection.execute(query("restore", "record_guard"), (Jsonb(detail),))
    return guarded
