"""Reads and writes contacts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Connection,
    Integer,
    Uuid,
    any_,
    bindparam,
    func,
    insert,
    literal,
    select,
    update,
)

from crud_api.contacts.schemas import ContactQuery
from crud_api.paging import Page, read_sorted_page
from crud_api.tables import AnyRow, contacts
from sequence_store.domain.states import HoldReason

LIVE = contacts.c.deleted_at.is_(None)
ORDERS = {"createdAt": contacts.c.id, "mailAddress": func.lower(contacts.c.mail_address)}
SHOWN = (
    contacts.c.id.label("row_key"),
    contacts.c.external_id.label("id"),
    contacts.c.name,
    contacts.c.mail_address,
    contacts.c.is_active,
    contacts.c.attributes,
    contacts.c.hold_until,
    contacts.c.hold_reason,
    contacts.c.replied_at,
    contacts.c.stopped_at,
    contacts.c.created.label("created_at"),
    contacts.c.updated.label("last_updated_at"),
)
_FIND = select(*SHOWN).where(contacts.c.external_id == bindparam("contact"), LIVE)
_FIND_LOCKED = _FIND.with_for_update()


def add(connection: Connection, values: Mapping[str, Any]) -> AnyRow:
    return connection.execute(insert(contacts).values(**values).returning(*SHOWN)).one()


def read(connection: Connection, query: ContactQuery) -> Page[AnyRow]:
    statement = select(*SHOWN).where(LIVE)
    if query.mail_address is not None:
        statement = statement.where(func.lower(contacts.c.mail_address) == func.lower(query.mail_address))
    if query.is_active is not None:
        statement = statement.where(contacts.c.is_active == query.is_active)
    return read_sorted_page(connection, statement, query, key=contacts.c.id, sort=query.sort, orders=ORDERS)


def find(connection: Connection, contact: UUID, *, lock: bool = False) -> AnyRow | None:
    return connection.execute(_FIND_LOCKED if lock else _FIND, {"contact": contact}).first()


def find_id(connection: Connection, contact: UUID) -> int | None:
    """Return the internal id of a live contact."""
    statement = select(contacts.c.id).where(contacts.c.external_id == contact, LIVE)
    return connection.execute(statement).scalar_one_or_none()


def find_ids(connection: Connection, ids: Collection[UUID]) -> Sequence[int]:
    """Return the internal ids of the live contacts among `ids`."""
    requested = contacts.c.external_id == any_(literal(list(ids), ARRAY(Uuid)))
    return connection.execute(select(contacts.c.id).where(requested, LIVE)).scalars().all()


def find_id_with_deleted(connection: Connection, contact: UUID) -> int | None:
    """Return the internal id of a contact, including a deleted one, whose history remains."""
    return connection.execute(
        select(contacts.c.id).where(contacts.c.external_id == contact)
    ).scalar_one_or_none()


def change(connection: Connection, contact: UUID, values: Mapping[str, Any]) -> AnyRow | None:
    statement = update(contacts).where(contacts.c.external_id == contact, LIVE)
    return connection.execute(statement.values(**values).returning(*SHOWN)).first()


def delete(connection: Connection, contact: UUID) -> int | None:
    """Mark a live contact as deleted; return its internal id, or None if there is none."""
    statement = update(contacts).where(contacts.c.external_id == contact, LIVE)
    return connection.execute(
        statement.values(deleted_at=func.now()).returning(contacts.c.id)
    ).scalar_one_or_none()


def lock_for_stop(
    connection: Connection, contact: UUID, sequence: UUID | None = None, company_most: int = 0
) -> None:
    """Lock the contact's sends, the contact and its enrolments in the order in which every stop does.

    With a sequence, lock all contacts that a reply to it stops.
    """
    arguments = (literal(contact, Uuid), literal(sequence, Uuid), literal(company_most, Integer))
    connection.execute(select(func.lock_contact_for_stop(*arguments)))


def hold(connection: Connection, contact_id: int, today: date, until: date | None) -> None:
    """Hold a contact until a date, or end its hold."""
    connection.execute(select(func.hold_contact(contact_id, today, until, HoldReason.MANUAL.value)))


def settle_opt_out(connection: Connection, contact: UUID, *, confirmed: bool, pads: bytes) -> bool:
    """Confirm or lift an opt-out that is not verified; return whether one was open."""
    settled = func.settle_opt_out(contact, confirmed, "api", literal(pads))
    return bool(connection.execute(select(settled)).scalar_one())


def erase(connection: Connection, contact: UUID, pads: bytes) -> bool:
    """Erase a live or deleted contact; return whether it exists."""
    return connection.execute(select(func.erase_contact(contact, literal(pads)))).scalar_one()
