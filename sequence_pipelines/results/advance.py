"""Applies finished sends to enrolments. The row holds the outcome; a message only names the row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psycopg

from sequence_store.domain.messages import SendKey
from sequence_store.domain.states import EnrolmentStatus
from sequence_store.postgres.queries import query
from sequence_store.sqs import batched

BATCH = 1000


@dataclass
class Applied:
    """The enrolments that were advanced; applying the same sends again changes nothing."""

    keys: list[SendKey] = field(default_factory=list)
    by_status: Counter[str] = field(default_factory=Counter)
    completed: int = 0

    @property
    def advanced(self) -> int:
        return len(self.keys)

    def add(self, other: Applied) -> None:
        self.keys += other.keys
        self.by_status += other.by_status
        self.completed += other.completed


def apply_sends(
    connection: psycopg.Connection[Any], keys: Iterable[SendKey], *, now: datetime, unknown_settles: int
) -> Applied:
    """Advance the enrolments of these sends, and skip sends that are not finished. The caller commits.

    An unknown send counts as sent `unknown_settles` seconds after it finished.
    """
    total = Applied()
    for batch in batched(keys, BATCH):
        total.add(_apply_batch(connection, batch, now, now - timedelta(seconds=unknown_settles)))
    return total


def find_unapplied(
    connection: psycopg.Connection[Any], *, since: datetime, now: datetime, unknown_settles: int
) -> list[SendKey]:
    """Return the finished sends that were not applied: their result message is on its way, or lost."""
    settled = now - timedelta(seconds=unknown_settles)
    rows = connection.execute(
        query("results", "read_finished_lately"), {"since": since, "settled": settled}
    ).fetchall()
    return [SendKey(*row) for row in rows]


def _apply_batch(
    connection: psycopg.Connection[Any], keys: list[SendKey], now: datetime, settled: datetime
) -> Applied:
    columns = list(zip(*keys, strict=True))
    rows = connection.execute(
        query("results", "advance_enrolments"),
        {
            "now": now,
            "settled": settled,
            "sequence_ids": list(columns[0]),
            "contact_ids": list(columns[1]),
            "step_ids": list(columns[2]),
            "rounds": list(columns[3]),
        },
    ).fetchall()
    return Applied(
        keys=[SendKey(*row[:4]) for row in rows],
        by_status=Counter(row[4] for row in rows),
        completed=sum(row[5] == EnrolmentStatus.COMPLETED for row in rows),
    )
