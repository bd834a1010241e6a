"""Moves old sends from the ledger to the archive; each batch commits, so it can be stopped at any time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg

from sequence_store.postgres.queries import query

BATCH = 10_000  # rows examined between two commits, which takes some tenths of a second
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ArchivedBatch:
    """The sends that a batch examined and moved; all sends before `upto` are done."""

    examined: int
    archived: int
    upto: datetime


def archive_sends(
    connection: psycopg.Connection[Any], before: datetime, *, batch: int = BATCH
) -> Iterator[ArchivedBatch]:
    """Move the sends before `before` whose enrolments have ended, oldest first. Commits each batch.

    Raise psycopg.errors.RaiseException if `before` is less than 30 days ago.
    """
    start = BEGINNING
    while True:
        parameters = {"from": start, "before": before, "batch": batch}
        examined, archived, next_start = connection.execute(
            query("archive", "archive_sends"), parameters
        ).fetchall()[0]
        connection.commit()
        if next_start is None:
            return
        yield ArchivedBatch(examined, archived, next_start)
        start = next_start
