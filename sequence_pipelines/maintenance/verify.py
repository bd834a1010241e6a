"""Reads the ledger and checks the invariants on it: one consistent snapshot, row by row, without writing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg

from sequence_pipelines.maintenance.invariants import (
    Bounds,
    Invariant,
    MailboxDay,
    Pause,
    Send,
    Snapshot,
    Violation,
    check_invariants,
)
from sequence_store.postgres.queries import query
from sequence_store.settings import PipelineSettings

ROWS_AT_ONCE = 5_000
MOST_EXAMPLES = 20
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
FAR = timedelta(days=365)  # no send is planned further ahead


@dataclass(frozen=True)
class Period:
    """The sends to check, by send_at: from `since` (included) to `until` (excluded)."""

    since: datetime
    until: datetime

    @classmethod
    def of_day(cls, day: date, settings: PipelineSettings) -> Period:
        return cls(settings.calendar.start_of(day), settings.calendar.end_of(day))

    @classmethod
    def from_day(cls, day: date, settings: PipelineSettings, now: datetime) -> Period:
        return cls(settings.calendar.start_of(day), now + FAR)

    @property
    def bounds(self) -> dict[str, datetime]:
        return {"since": self.since, "until": self.until}


@dataclass
class LedgerCheck:
    """The result of a check: the number of sends checked, violations by invariant, and the first examples."""

    sends: int = 0
    counts: Counter[Invariant] = field(default_factory=Counter)
    examples: list[Violation] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.counts

    def add(self, violation: Violation) -> None:
        self.counts[violation.invariant] += 1
        if len(self.examples) < MOST_EXAMPLES:
            self.examples.append(violation)

    def set_sends(self, sends: int) -> None:
        self.sends = sends


def bounds_of(settings: PipelineSettings) -> Bounds:
    """Return how long a send may be in progress by the settings, with the default margin of an hour."""
    return Bounds(
        vanished=timedelta(seconds=settings.vanished_after_seconds),
        transmitting=timedelta(seconds=settings.transmitting_bound_seconds),
        unknown_settles=timedelta(seconds=settings.unknown_settles),
    )


def read_sends(connection: psycopg.Connection[Any], period: Period) -> Iterator[Send]:
    """Yield the period's rows by send_at, from a server-side cursor, so that few are in memory at a time."""
    with connection.cursor("verify", binary=True) as cursor:
        cursor.itersize = ROWS_AT_ONCE
        cursor.execute(query("verify", "read_sends"), period.bounds)
        for row in cursor:
            yield Send(*row)


def read_mailbox_days(connection: psycopg.Connection[Any], period: Period) -> list[MailboxDay]:
    rows = connection.execute(query("verify", "read_mailbox_days"), period.bounds)
    return [MailboxDay(*row) for row in rows]


def read_pauses(connection: psycopg.Connection[Any]) -> list[Pause]:
    return [Pause(*row) for row in connection.execute(query("verify", "read_pauses"))]


def verify(
    connection: psycopg.Connection[Any],
    settings: PipelineSettings,
    period: Period,
    now: datetime,
    on_progress: Callable[[int], object] = lambda _: None,
) -> Iterator[Violation]:
    """Yield the violations in the ledger.

    `on_progress` is called with the number of rows read, every ROWS_AT_ONCE rows and at the end. The check is
    one read-only transaction, so it does not see concurrent changes. The connection must not be in a
    transaction.
    """
    connection.read_only = True
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    days = read_mailbox_days(connection, period)
    sends = _counted(read_sends(connection, period), on_progress)
    pauses = read_pauses(connection)
    snapshot = Snapshot(now, sends, days, pauses=pauses, bounds=bounds_of(settings))
    yield from check_invariants([], snapshot, None)
    connection.rollback()


def check_since_yesterday(
    connection: psycopg.Connection[Any], settings: PipelineSettings, now: datetime
) -> LedgerCheck:
    """Check all sends from the previous planning day on; `now` is aware. Conditions as for `verify`."""
    check = LedgerCheck()
    period = Period.from_day(settings.calendar.day_of(now) - timedelta(days=1), settings, now)
    for violation in verify(connection, settings, period, now, check.set_sends):
        check.add(violation)
    return check


def count_sends(connection: psycopg.Connection[Any], period: Period) -> int:
    return int(connection.execute(query("verify", "count_sends"), period.bounds).fetchall()[0][0])


def _counted(sends: Iterator[Send], on_progress: Callable[[int], object]) -> Iterator[Send]:
    number = 0
    for number, send in enumerate(sends, start=1):
        if number % ROWS_AT_ONCE == 0:
            on_progress(number)
        yield send
    on_progress(number)
