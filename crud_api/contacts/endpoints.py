"""Defines the routes for contacts."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from crud_api.contacts import repository, service
from crud_api.contacts.schemas import Contact, ContactChanges, ContactCreate, ContactQuery
from crud_api.dependencies import Settings, Store, Today
from crud_api.idempotency import Idempotent
from crud_api.json_body import JsonRoute
from crud_api.openapi import error_responses
from crud_api.paths import id_segment
from crud_api.responses import IfMatch, model_response

router = APIRouter(prefix="/contacts", tags=["contacts"], route_class=JsonRoute)
CONTACT = id_segment("contact_id")


@router.post(
    "",
    status_code=201,
    summary="Create a contact",
    response_model=Contact,
    responses=error_responses(409, 413),
)
def create_contact(body: ContactCreate, idempotent: Idempotent, settings: Settings) -> Response:
    """Create a contact. Its mail address must be unique; case and other spellings of it are ignored."""
    return idempotent.create(lambda connection: service.create(connection, body, settings.address_pads))


@router.get("", summary="List contacts", response_model=list[Contact], responses=error_responses())
def list_contacts(query: Annotated[ContactQuery, Query()], store: Store, settings: Settings) -> Response:
    with store.reading() as connection:
        return service.read(connection, query, settings.address_pads).response()


@router.get(CONTACT, summary="Get a contact", response_model=Contact, responses=error_responses(404))
def get_contact(contact_id: UUID, store: Store, settings: Settings) -> Response:
    with store.reading() as connection:
        return model_response(service.find(connection, contact_id, settings.address_pads))


@router.patch(
    CONTACT,
    summary="Change a contact",
    response_model=Contact,
    responses=error_responses(404, 409, 412, 413),
)
def change_contact(
    contact_id: UUID, body: ContactChanges, store: Store, settings: Settings, today: Today, match: IfMatch
) -> Response:
    """Change only the fields in the body. An inactive contact gets no mails, not even planned ones.

    `holdUntil` replaces any hold, also that of an absence notice.
    """
    with store.transaction() as connection:
        if "hold_until" in body.changes():
            repository.lock_for_stop(connection, contact_id)
        match.require(lambda: service.find(connection, contact_id, settings.address_pads, lock=True))
        return model_response(
            service.change(connection, contact_id, body, settings.address_pads, today=today)
        )


@router.delete(CONTACT, status_code=204, summary="Delete a contact", responses=error_responses(404, 412))
def delete_contact(contact_id: UUID, store: Store, settings: Settings, match: IfMatch) -> None:
    """Delete a contact and remove it from all sequences. Its past sends stay in the history."""
    with store.transaction() as connection:
        match.require(lambda: service.find(connection, contact_id, settings.address_pads, lock=True))
        service.delete(connection, contact_id)


@router.post(
    "/{contact_id}/optOut/confirm",
    status_code=204,
    summary="Confirm an opt-out",
    responses=error_responses(404, 409),
)
def confirm_opt_out(contact_id: UUID, store: Store, settings: Settings) -> None:
    """Confirm an opt-out that nobody verified: the address is suppressed, as by the unsubscribe link."""
    with store.transaction() as connection:
        service.settle_opt_out(connection, contact_id, confirmed=True, pads=settings.address_pads)


@router.post(
    "/{contact_id}/optOut/lift",
    status_code=204,
    summary="Lift an opt-out",
    responses=error_responses(404, 409),
)
def lift_opt_out(contact_id: UUID, store: Store, settings: Settings) -> None:
    """Lift an opt-out that nobody verified: the contact gets mails again."""
    with store.transaction() as connection:
        service.settle_opt_out(connection, contact_id, confirmed=False, pads=settings.address_pads)


@router.post(
    "/{contact_id}/erasure", status_code=204, summary="Erase a contact", responses=error_responses(404)
)
def erase_contact(contact_id: UUID, store: Store, settings: Settings) -> None:
    """Delete the personal data of a contact, also if the contact was deleted before.

    The name, address, attributes and stored replies of mail servers are cleared in every contact that has had
    this address. Its enrolments end, and its planned sends are cancelled. The records that mails were sent
    remain, without personal data. The address is suppressed, so that it gets no mails even if it is entered
    again.
    """
    with store.transaction() as connection:
        service.erase(connection, contact_id, settings.address_pads)
