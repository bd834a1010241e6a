"""Reads and writes sequences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, bindparam, func, insert, select, update

from crud_api.paging import Page, read_sorted_page
from crud_api.sequences.schemas import SequenceQuery
from crud_api.tables import AnyRow, sequences

LIVE = sequences.c.deleted_at.is_(None)
ORDERS = {"createdAt": sequences.c.id, "name": sequences.c.sequence_name}
TIES = ("name",)  # two sequences may have one name
SHOWN = (
    sequences.c.id.label("row_key"),
    sequences.c.external_id.label("id"),
    sequences.c.sequence_name.label("name"),
    sequences.c.open_tracking_enabled,
    sequences.c.click_tracking_enabled,
    sequences.c.is_active,
    sequences.c.max_new_per_day,
    sequences.c.priority,
    sequences.c.reply_stops,
    sequences.c.created.label("created_at"),
    sequences.c.updated.label("last_updated_at"),
)
_FIND = select(*SHOWN).where(sequences.c.external_id == bindparam("sequence"), LIVE)
_FIND_LOCKED = _FIND.with_for_update()


def add(connection: Connection, values: Mapping[str, Any]) -> AnyRow:
    return connection.execute(insert(sequences).values(**values).returning(*SHOWN)).one()


def read(connection: Connection, query: SequenceQuery) -> Page[AnyRow]:
    statement = select(*SHOWN).where(LIVE)
    if query.name is not None:
        statement = statement.where(sequences.c.sequence_name == query.name)
    if query.is_active is not None:
        statement = statement.where(sequences.c.is_active == query.is_active)
    return read_sorted_page(
        connection, statement, query, key=sequences.c.id, sort=query.sort, orders=ORDERS, ties=TIES
    )


def find(connection: Connection, sequence: UUID, *, lock: bool = False) -> AnyRow | None:
    return connection.execute(_FIND_LOCKED if lock else _FIND, {"sequence": sequence}).first()


def find_id(connection: Connection, sequence: UUID) -> int | None:
    """Return the internal id of a live sequence."""
    statement = select(sequences.c.id).where(sequences.c.external_id == sequence, LIVE)
    return connection.execute(statement).scalar_one_or_none()


def find_id_with_deleted(connection: Connection, sequence: UUID) -> int | None:
    """Return the internal id of a sequence, including a deleted one, whose history remains."""
    return connection.execute(
        select(sequences.c.id).where(sequences.c.external_id == sequence)
    ).scalar_one_or_none()


def change(connection: Connection, sequence: UUID, values: Mapping[str, Any]) -> AnyRow | None:
    statement = update(sequences).where(sequences.c.external_id == sequence, LIVE)
    return connection.execute(statement.values(**values).returning(*SHOWN)).first()


def delete(connection: Connection, sequence: UUID) -> bool:
    statement = update(sequences).where(sequences.c.external_id == sequence, LIVE)
    return connection.execute(statement.values(deleted_at=func.now())).rowcount > 0
