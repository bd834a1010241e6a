"""Reads and writes mailboxes. The secret is write-only: the database role of the API may not read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, bindparam, func, insert, select, update

from crud_api.mailboxes.schemas import MailboxQuery
from crud_api.paging import Page, read_sorted_page
from crud_api.tables import AnyRow, mailboxes

HIDDEN = {"id", "external_id", "created", "updated", "deleted_at", "smtp_secret"}
LIVE = mailboxes.c.deleted_at.is_(None)
ORDERS = {"createdAt": mailboxes.c.id, "address": mailboxes.c.address}
SHOWN = (
    mailboxes.c.id.label("row_key"),
    mailboxes.c.external_id.label("id"),
    *(column for column in mailboxes.c if column.name not in HIDDEN),
    mailboxes.c.created.label("created_at"),
    mailboxes.c.updated.label("last_updated_at"),
)
_FIND = select(*SHOWN).where(mailboxes.c.external_id == bindparam("mailbox"), LIVE)
_FIND_LOCKED = _FIND.with_for_update()


def add(connection: Connection, values: Mapping[str, Any]) -> AnyRow:
    return connection.execute(insert(mailboxes).values(**values).returning(*SHOWN)).one()


def read(connection: Connection, query: MailboxQuery) -> Page[AnyRow]:
    statement = select(*SHOWN).where(LIVE)
    if query.address is not None:
        statement = statement.where(mailboxes.c.address == query.address)
    if query.is_active is not None:
        statement = statement.where(mailboxes.c.is_active == query.is_active)
    return read_sorted_page(connection, statement, query, key=mailboxes.c.id, sort=query.sort, orders=ORDERS)


def find(connection: Connection, mailbox: UUID, *, lock: bool = False) -> AnyRow | None:
    return connection.execute(_FIND_LOCKED if lock else _FIND, {"mailbox": mailbox}).first()


def change(connection: Connection, mailbox_id: int, values: Mapping[str, Any]) -> AnyRow:
    statement = update(mailboxes).where(mailboxes.c.id == mailbox_id)
    return connection.execute(statement.values(**values).returning(*SHOWN)).one()


def delete(connection: Connection, mailbox: UUID) -> bool:
    statement = update(mailboxes).where(mailboxes.c.external_id == mailbox, LIVE)
    return connection.execute(statement.values(deleted_at=func.now())).rowcount > 0
