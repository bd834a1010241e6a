"""Routes of contacts."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from crud_api.answers import IfMatch, shown
from crud_api.contacts import service
from crud_api.contacts.schemas import Contact, ContactChanges, ContactCreate, ContactQuery
from crud_api.dependencies import Settings, Store
from crud_api.idempotency import Once
from crud_api.json_body import JsonRoute
from crud_api.openapi import answers
from crud_api.paths import id_segment

router = APIRouter(prefix="/contacts", tags=["contacts"], route_class=JsonRoute)
CONTACT = id_segment("contact_id")


@router.post(
    "", status_code=201, summary="Create a contact", response_model=Contact, responses=answers(409, 413)
)
def create_contact(body: ContactCreate, once: Once) -> Response:
    """Refuse an address that another contact has, without regard to case."""
    return once.answer(lambda connection: service.create(connection, body))


@router.get("", summary="List contacts", response_model=list[Contact], responses=answers())
def list_contacts(query: Annotated[ContactQuery, Query()], store: Store) -> Response:
    with store.reading() as connection:
        return service.read(connection, query).shown()


@router.get(CONTACT, summary="Get a contact", response_model=Contact, responses=answers(404))
def get_contact(contact_id: UUID, store: Store) -> Response:
    with store.reading() as connection:
        return shown(service.find(connection, contact_id))


@router.patch(
    CONTACT,
    summary="Change a contact",
    response_model=Contact,
    responses=answers(404, 409, 412, 413),
)
def change_contact(contact_id: UUID, body: ContactChanges, store: Store, match: IfMatch) -> Response:
    """Change what is named. An inactive contact is mailed nothing, also nothing that is planned already."""
    with store.transaction() as connection:
        match.require(lambda: service.find(connection, contact_id, lock=True))
        return shown(service.change(connection, contact_id, body))


@router.delete(CONTACT, status_code=204, summary="Delete a contact", responses=answers(404, 412))
def delete_contact(contact_id: UUID, store: Store, match: IfMatch) -> None:
    """Take it out of all sequences, too; what it was sent stays in their histories."""
    with store.transaction() as connection:
        match.require(lambda: service.find(connection, contact_id, lock=True))
        service.delete(connection, contact_id)


@router.post("/{contact_id}/erasure", status_code=204, summary="Erase a contact", responses=answers(404))
def erase_contact(contact_id: UUID, store: Store, settings: Settings) -> None:
    """Forget the person on request, also where the contact was deleted before.

    Name, address, attributes and the stored replies of mail servers are blanked, in every contact that has had
    the address; enrolments end and what is planned is cancelled. What remains says nothing of the person: that
    mails were sent, and that the address is suppressed, so that entering it again mails nobody.
    """
    with store.transaction() as connection:
        service.erase(connection, contact_id, settings.address_pads)
