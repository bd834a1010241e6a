"""Reads and writes contacts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    CompoundSelect,
    Connection,
    Integer,
    Uuid,
    and_,
    any_,
    bindparam,
    func,
    insert,
    literal,
    select,
    union_all,
    update,
)

from crud_api.contacts.schemas import ContactQuery
from crud_api.paging import Page, read_sorted_page
from crud_api.tables import AnyRow, contacts, in_force, suppressions
from sequence_store.domain.addresses import EnteredAddress
from sequence_store.domain.states import HoldReason

LIVE = contacts.c.deleted_at.is_(None)
NO_SUPPRESSION = {"suppressed": False, "suppression_reason": None, "suppressed_at": None}
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


def add(connection: Connection, values: Mapping[str, Any], pads: bytes) -> AnyRow:
    adding = insert(contacts).values(**_with_spelling(values, pads))
    return connection.execute(adding.returning(*SHOWN)).one()


def read(connection: Connection, query: ContactQuery, pads: bytes) -> Page[AnyRow]:
    statement = select(*SHOWN).where(LIVE)
    if query.mail_address is not None:
        statement = statement.where(func.lower(contacts.c.mail_address) == func.lower(query.mail_address))
    if query.is_active is not None:
        statement = statement.where(contacts.c.is_active == query.is_active)
    if query.suppressed is not None:
        suppressed = contacts.c.id.in_(_suppressed_ids(pads))
        statement = statement.where(suppressed if query.suppressed else ~suppressed)
    return read_sorted_page(connection, statement, query, key=contacts.c.id, sort=query.sort, orders=ORDERS)


def find(connection: Connection, contact: UUID, *, lock: bool = False) -> AnyRow | None:
    return connection.execute(_FIND_LOCKED if lock else _FIND, {"contact": contact}).first()


def suppressions_of(
    connection: Connection, rows: Collection[AnyRow], pads: bytes
) -> dict[int, dict[str, Any]]:
    """Return why and since when the addresses of these contacts are suppressed, by row key."""
    statement = (
        select(contacts.c.id, suppressions.c.reason, suppressions.c.at)
        .join(suppressions, and_(suppressions.c.address_hmac == stored_hmac(pads), in_force()))
        .where(contacts.c.id == any_(literal([row.row_key for row in rows], ARRAY(BigInteger))))
    )
    return {
        row.id: {"suppressed": True, "suppression_reason": row.reason, "suppressed_at": row.at}
        for row in connection.execute(statement)
    }


def stored_hmac(pads: bytes) -> ColumnElement[bytes]:
    """Return the HMAC under which a contact is suppressed, as the SQL function hmac_of_contact does."""
    computed = func.address_hmac(contacts.c.mail_address, literal(pads))
    return func.coalesce(contacts.c.address_hmac, computed)


def _suppressed_ids(pads: bytes) -> CompoundSelect[tuple[int]]:
    """Select the suppressed contacts, through the index on their HMAC; few have none stored yet."""
    of_stored = select(contacts.c.id).join(
        suppressions, and_(suppressions.c.address_hmac == contacts.c.address_hmac, in_force())
    )
    computed = func.address_hmac(contacts.c.mail_address, literal(pads))
    of_computed = select(contacts.c.id).where(
        contacts.c.address_hmac.is_(None),
        select(1).where(suppressions.c.address_hmac == computed, in_force()).correlate(contacts).exists(),
    )
    return union_all(of_stored, of_computed)


def _with_spelling(values: Mapping[str, Any], pads: bytes) -> dict[str, Any]:
    """Add what was written and the HMAC to the columns of a contact, if its address is among them."""
    address = values.get("mail_address")
    if address is None:
        return dict(values)
    spelling = address.other_spelling if isinstance(address, EnteredAddress) else None
    hmac = func.address_hmac(str(address), literal(pads))
    stored = {"mail_address": str(address), "mail_address_written": spelling, "address_hmac": hmac}
    return {**values, **stored}


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


def change(connection: Connection, contact: UUID, values: Mapping[str, Any], pads: bytes) -> AnyRow | None:
    statement = update(contacts).where(contacts.c.external_id == contact, LIVE)
    changed = statement.values(**_with_spelling(values, pads)).returning(*SHOWN)
    return connection.execute(changed).first()


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
