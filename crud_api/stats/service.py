"""Reads counts and rates of what came of the mails."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from crud_api.errors import InvalidInputError, NotFoundError
from crud_api.sequences.service import internal_id_with_deleted as sequence_id_of
from crud_api.stats import repository
from crud_api.stats.schemas import Stats, StatsQuery
from sequence_store.domain.rates import COUNTS, rates_of

# The fields of a row by their names in the response: a thousand rows are not validated one by one.
FIELDS = {name: field.alias or name for name, field in Stats.model_fields.items()}


def read(connection: Connection, query: StatsQuery, today: date) -> list[dict[str, Any]]:
    """Return the document of Stats for each sequence, step, mailbox or day that has mails.

    Raise InvalidInputError if the sequence does not exist.
    """
    first, last = query.days(today)
    sequence = None if query.sequence_id is None else _sequence(connection, query.sequence_id)
    rows = repository.read(connection, query.by, sequence, first, last)
    return [_document(row._asdict()) for row in rows]


def _document(row: Mapping[str, Any]) -> dict[str, Any]:
    values = {**row, **rates_of({name: row[name] for name in COUNTS})}
    return {shown: values.get(name) for name, shown in FIELDS.items()}


def _sequence(connection: Connection, sequence: UUID) -> int:
    try:
        return sequence_id_of(connection, sequence)
    except NotFoundError as error:
        raise InvalidInputError(f"sequenceId: {error.detail}") from None
