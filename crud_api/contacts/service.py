"""What may be done with contacts."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection

from crud_api.contacts import repository
from crud_api.contacts.schemas import Contact, ContactChanges, ContactCreate, ContactQuery
from crud_api.enrolments import repository as enrolments
from crud_api.errors import NotFoundError
from crud_api.paging import Page
from crud_api.tables import AnyRow


def create(connection: Connection, body: ContactCreate) -> Contact:
    return Contact.of(repository.add(connection, body.model_dump()))


def read(connection: Connection, query: ContactQuery) -> Page[Contact]:
    page = repository.read(connection, query)
    return page.with_items([Contact.of(row) for row in page.items])


def find(connection: Connection, contact: UUID, *, lock: bool = False) -> Contact:
    return _shown(repository.find(connection, contact, lock=lock), contact)


def change(connection: Connection, contact: UUID, body: ContactChanges) -> Contact:
    changes = body.changes()
    if not changes:
        return find(connection, contact)
    return _shown(repository.change(connection, contact, changes), contact)


def delete(connection: Connection, contact: UUID) -> None:
    """Delete the contact and take it out of every sequence that it is still in."""
    contact_id = repository.delete(connection, contact)
    if contact_id is None:
        raise unknown(contact)
    enrolments.remove_from_all(connection, contact_id, reason="contact_deleted")


def erase(connection: Connection, contact: UUID, pads: bytes) -> None:
    """Blank all that is known of the person; doing so again changes nothing."""
    if not repository.erase(connection, contact, pads):
        raise unknown(contact)


def internal_id(connection: Connection, contact: UUID) -> int:
    """Return the internal id of a live contact; raise NotFoundError where there is none."""
    found = repository.find_id(connection, contact)
    if found is None:
        raise unknown(contact)
    return found


def internal_id_ever(connection: Connection, contact: UUID) -> int:
    """Do the same for a contact that may be deleted."""
    found = repository.find_id_ever(connection, contact)
    if found is None:
        raise unknown(contact)
    return found


def unknown(contact: UUID) -> NotFoundError:
    return NotFoundError(f"No contact has the id {contact}.")


def _shown(row: AnyRow | None, contact: UUID) -> Contact:
    if row is None:
        raise unknown(contact)
    return Contact.of(row)
