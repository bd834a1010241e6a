"""Reads the ledger as the promises are checked on it: one consistent picture, row by row, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg

from sequence_pipelines.maintenance.invariants import (
    Bounds,
    MailboxDay,
    Send,
    Snapshot,
    Violation,
    check_invariants,
)
from sequence_store.postgres.queries import query
from sequence_store.settings import PipelineSettings

ROWS_AT_ONCE = 5_000
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
FAR = timedelta(days=365)  # nothing is planned further ahead


@dataclass(frozen=True)
class Period:
    """Which sends are looked at, by their send_at: from `since` on, before `until`."""

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


def bounds_of(settings: PipelineSettings) -> Bounds:
    """Return how long a send may be under way by the settings, and an hour for the sweeps to come by."""
    return Bounds(
        vanished=timedelta(seconds=settings.vanished_after_seconds),
        transmitting=timedelta(seconds=settings.transmitting_bound_seconds),
        unknown_settles=timedelta(seconds=settings.unknown_settles),
    )


def read_sends(connection: psycopg.Connection[Any], period: Period) -> Iterator[Send]:
    """Yield the period's rows by send_at, from a cursor of the server: few are in memory at once."""
    with connection.cursor("verify", binary=True) as cursor:
        cursor.itersize = ROWS_AT_ONCE
        cursor.execute(query("verify", "read_sends"), period.bounds)
        for row in cursor:
            yield Send(*row)


def read_mailbox_days(connection: psycopg.Connection[Any], period: Period) -> list[MailboxDay]:
    rows = connection.execute(query("verify", "read_mailbox_days"), period.bounds)
    return [MailboxDay(*row) for row in rows]


def verify(
    connection: psycopg.Connection[Any],
    settings: PipelineSettings,
    period: Period,
    now: datetime,
    looked_at: Callable[[int], object] = lambda _: None,
) -> Iterator[Violation]:
    """Yield what the ledger says against the promises; `looked_at` is told now and then how many rows are done.

    One read-only transaction: what goes on meanwhile is not seen. The connection must not be in a transaction.
    """
    connection.read_only = True
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    days = read_mailbox_days(connection, period)
    sends = _counted(read_sends(connection, period), looked_at)
    yield from check_invariants([], Snapshot(now, sends, days, bounds=bounds_of(settings)), None)
    connection.rollback()


def count_sends(connection: psycopg.Connection[Any], period: Period) -> int:
    return int(connection.execute(query("verify", "count_sends"), period.bounds).fetchall()[0][0])


def _counted(sends: Iterator[Send], looked_at: Callable[[int], object]) -> Iterator[Send]:
    number = 0
    for number, send in enumerate(sends, start=1):
        if number % ROWS_AT_ONCE == 0:
            looked_at(number)
        yield send
    looked_at(number)
