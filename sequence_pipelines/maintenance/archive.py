"""Moves what was mailed long ago out of the ledger, in batches that each commit, so that it may stop at any time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg

from sequence_store.postgres.queries import query

BATCH = 10_000  # rows looked at between two commits: some tenths of a second
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ArchivedBatch:
    """How many sends a batch looked at, how many it moved, and the minute up to which all is done now."""

    examined: int
    archived: int
    upto: datetime


def archive_sends(
    connection: psycopg.Connection[Any], before: datetime, *, batch: int = BATCH
) -> Iterator[ArchivedBatch]:
    """Move the sends from before `before` whose enrolments have ended, oldest first; commits each batch.

    Raise psycopg.errors.RaiseException where `before` is within the last 30 days.
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
