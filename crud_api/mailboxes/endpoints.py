"""Routes of mailboxes."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from crud_api.answers import IfMatch, shown
from crud_api.dependencies import Secrets, Store
from crud_api.idempotency import Once
from crud_api.json_body import JsonRoute
from crud_api.mailboxes import service
from crud_api.mailboxes.schemas import Mailbox, MailboxChanges, MailboxCreate, MailboxQuery
from crud_api.openapi import answers

router = APIRouter(prefix="/mailboxes", tags=["mailboxes"], route_class=JsonRoute)


@router.post(
    "", status_code=201, summary="Create a mailbox", response_model=Mailbox, responses=answers(409, 413)
)
def create_mailbox(body: MailboxCreate, once: Once, secrets: Secrets) -> Response:
    """Refuse an address that another mailbox has. `smtpSecret` is encrypted and never shown."""
    return once.answer(lambda connection: service.create(connection, body, secrets))


@router.get("", summary="List mailboxes", response_model=list[Mailbox], responses=answers())
def list_mailboxes(query: Annotated[MailboxQuery, Query()], store: Store) -> Response:
    with store.reading() as connection:
        return service.read(connection, query).shown()


@router.get("/{mailbox_id}", summary="Get a mailbox", response_model=Mailbox, responses=answers(404))
def get_mailbox(mailbox_id: UUID, store: Store) -> Response:
    with store.reading() as connection:
        return shown(service.find(connection, mailbox_id))


@router.patch(
    "/{mailbox_id}",
    summary="Change a mailbox",
    response_model=Mailbox,
    responses=answers(404, 409, 412, 413),
)
def change_mailbox(
    mailbox_id: UUID, body: MailboxChanges, store: Store, secrets: Secrets, match: IfMatch
) -> Response:
    """Change what is named. A lower limit holds at once, a new window from the next plan on."""
    with store.transaction() as connection:
        match.require(lambda: service.find(connection, mailbox_id, lock=True))
        return shown(service.change(connection, mailbox_id, body, secrets))


@router.delete("/{mailbox_id}", status_code=204, summary="Delete a mailbox", responses=answers(404, 412))
def delete_mailbox(mailbox_id: UUID, store: Store, match: IfMatch) -> None:
    """Send nothing more from it; its contacts go on with the other mailboxes of their sequences."""
    with store.transaction() as connection:
        match.require(lambda: service.find(connection, mailbox_id, lock=True))
        service.delete(connection, mailbox_id)
