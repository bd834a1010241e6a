"""Defines the routes for mailboxes."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from crud_api.dependencies import Secrets, Store
from crud_api.idempotency import Idempotent
from crud_api.json_body import JsonRoute
from crud_api.mailboxes import service
from crud_api.mailboxes.schemas import Mailbox, MailboxChanges, MailboxCreate, MailboxQuery
from crud_api.openapi import error_responses
from crud_api.responses import IfMatch, model_response

router = APIRouter(prefix="/mailboxes", tags=["mailboxes"], route_class=JsonRoute)


@router.post(
    "",
    status_code=201,
    summary="Create a mailbox",
    response_model=Mailbox,
    responses=error_responses(409, 413),
)
def create_mailbox(body: MailboxCreate, idempotent: Idempotent, secrets: Secrets) -> Response:
    """Create a mailbox. Its address must be unique; `smtpSecret` is stored encrypted and never returned."""
    return idempotent.create(lambda connection: service.create(connection, body, secrets))


@router.get("", summary="List mailboxes", response_model=list[Mailbox], responses=error_responses())
def list_mailboxes(query: Annotated[MailboxQuery, Query()], store: Store) -> Response:
    with store.reading() as connection:
        return service.read(connection, query).response()


@router.get("/{mailbox_id}", summary="Get a mailbox", response_model=Mailbox, responses=error_responses(404))
def get_mailbox(mailbox_id: UUID, store: Store) -> Response:
    with store.reading() as connection:
        return model_response(service.find(connection, mailbox_id))


@router.patch(
    "/{mailbox_id}",
    summary="Change a mailbox",
    response_model=Mailbox,
    responses=error_responses(404, 409, 412, 413),
)
def change_mailbox(
    mailbox_id: UUID, body: MailboxChanges, store: Store, secrets: Secrets, match: IfMatch
) -> Response:
    """Change only the fields in the body.

    A lower `sendLimit` applies immediately; a new send window applies from the next plan on.
    """
    with store.transaction() as connection:
        match.require(lambda: service.find(connection, mailbox_id, lock=True))
        return model_response(service.change(connection, mailbox_id, body, secrets))


@router.delete(
    "/{mailbox_id}", status_code=204, summary="Delete a mailbox", responses=error_responses(404, 412)
)
def delete_mailbox(mailbox_id: UUID, store: Store, match: IfMatch) -> None:
    """Delete a mailbox. Its contacts continue with the other mailboxes of their sequences."""
    with store.transaction() as connection:
        match.require(lambda: service.find(connection, mailbox_id, lock=True))
        service.delete(connection, mailbox_id)
