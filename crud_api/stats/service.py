"""Reads counts and rates of what came of the mails."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from sqlalchemy import Connection

from crud_api.errors import InvalidInputError, NotFoundError
from crud_api.sequences.service import internal_id_with_deleted as sequence_id_of
from crud_api.stats import repository
from crud_api.stats.schemas import Stats, StatsQuery
from sequence_store.domain.rates import COUNTS, rates_of


def read(connection: Connection, query: StatsQuery, today: date) -> list[Stats]:
    """Return a row for each sequence, step, mailbox or day that has mails.

    Raise InvalidInputError if the sequence does not exist or the days are too far apart.
    """
    try:
        first, last = query.days(today)
    except ValueError as error:
        raise InvalidInputError(str(error)) from None
    sequence = None if query.sequence_id is None else _sequence(connection, query.sequence_id)
    rows = repository.read(connection, query.by, sequence, first, last)
    return [Stats.of(row, **rates_of({name: getattr(row, name) for name in COUNTS})) for row in rows]


def _sequence(connection: Connection, sequence: UUID) -> int:
    try:
        return sequence_id_of(connection, sequence)
    except NotFoundError as error:
        raise InvalidInputError(f"sequenceId: {error.detail}") from None
