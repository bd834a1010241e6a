"""Creates, reads, changes, deletes and erases contacts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from sqlalchemy import Connection

from crud_api.contacts import repository
from crud_api.contacts.schemas import Contact, ContactChanges, ContactCreate, ContactQuery
from crud_api.enrolments import repository as enrolments
from crud_api.errors import ConflictError, NotFoundError
from crud_api.paging import Page
from crud_api.tables import AnyRow
from sequence_store.domain.states import EnrolmentReason


def create(connection: Connection, body: ContactCreate, pads: bytes) -> Contact:
    [contact] = _with_suppressions(connection, [repository.add(connection, dict(body), pads)], pads)
    return contact


def read(connection: Connection, query: ContactQuery, pads: bytes) -> Page[Contact]:
    page = repository.read(connection, query, pads)
    return page.with_items(_with_suppressions(connection, page.items, pads))


def find(connection: Connection, contact: UUID, pads: bytes, *, lock: bool = False) -> Contact:
    return _shown(connection, repository.find(connection, contact, lock=lock), contact, pads)


def change(
    connection: Connection, contact: UUID, body: ContactChanges, pads: bytes, *, today: date
) -> Contact:
    changes = body.changes()
    if "hold_until" in changes:
        until = changes.pop("hold_until")
        repository.hold(connection, internal_id(connection, contact), today, until)
    if not changes:
        return find(connection, contact, pads)
    return _shown(connection, repository.change(connection, contact, changes, pads), contact, pads)


def settle_opt_out(connection: Connection, contact: UUID, *, confirmed: bool, pads: bytes) -> None:
    """Confirm or lift an opt-out; raise ConflictError if none waits for confirmation."""
    internal_id(connection, contact)
    if not repository.settle_opt_out(connection, contact, confirmed=confirmed, pads=pads):
        raise ConflictError("No opt-out of the contact waits for confirmation.")


def delete(connection: Connection, contact: UUID) -> None:
    """Delete the contact and end its enrolments."""
    contact_id = repository.delete(connection, contact)
    if contact_id is None:
        raise not_found(contact)
    enrolments.remove_from_all(connection, contact_id, reason=EnrolmentReason.CONTACT_DELETED)


def erase(connection: Connection, contact: UUID, pads: bytes) -> None:
    """Delete the personal data of the contact. Erasing it again changes nothing."""
    if not repository.erase(connection, contact, pads):
        raise not_found(contact)


def internal_id(connection: Connection, contact: UUID) -> int:
    """Return the internal id of a live contact; raise NotFoundError if there is none."""
    found = repository.find_id(connection, contact)
    if found is None:
        raise not_found(contact)
    return found


def internal_id_with_deleted(connection: Connection, contact: UUID) -> int:
    """Do the same for a contact that may be deleted."""
    found = repository.find_id_with_deleted(connection, contact)
    if found is None:
        raise not_found(contact)
    return found


def not_found(contact: UUID) -> NotFoundError:
    return NotFoundError(f"No contact has the id {contact}.")


def _shown(connection: Connection, row: AnyRow | None, contact: UUID, pads: bytes) -> Contact:
    if row is None:
        raise not_found(contact)
    [shown] = _with_suppressions(connection, [row], pads)
    return shown


def _with_suppressions(connection: Connection, rows: Sequence[AnyRow], pads: bytes) -> list[Contact]:
    """Return the contacts with what is known of the suppression of their addresses."""
    found = repository.suppressions_of(connection, rows, pads) if rows else {}
    return [Contact.of(row, **found.get(row.row_key, repository.NO_SUPPRESSION)) for row in rows]
