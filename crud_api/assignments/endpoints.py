"""Routes of the mailboxes of a sequence."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from crud_api.assignments import service
from crud_api.assignments.schemas import MailboxIds
from crud_api.dependencies import Store
from crud_api.idempotency import Once
from crud_api.json_body import JsonRoute
from crud_api.mailboxes.schemas import Mailbox
from crud_api.openapi import answers
from crud_api.paging import Paging

router = APIRouter(prefix="/sequences/{sequence_id}/mailboxes", tags=["assignments"], route_class=JsonRoute)


@router.get(
    "", summary="List the mailboxes of a sequence", response_model=list[Mailbox], responses=answers(404)
)
def list_sequence_mailboxes(sequence_id: UUID, paging: Annotated[Paging, Query()], store: Store) -> Response:
    with store.reading() as connection:
        return service.read(connection, sequence_id, paging).shown()


@router.post(
    "",
    status_code=201,
    summary="Assign mailboxes",
    response_model=list[Mailbox],
    responses=answers(404, 409, 413),
)
def assign_mailboxes(sequence_id: UUID, body: MailboxIds, once: Once) -> Response:
    """Assign all of them, or none where one is unknown; one that is assigned already stays so."""
    return once.answer(lambda connection: service.assign(connection, sequence_id, body.mailbox_ids))


@router.delete("", status_code=204, summary="Withdraw mailboxes", responses=answers(404, 413))
def withdraw_mailboxes(sequence_id: UUID, body: MailboxIds, store: Store) -> None:
    """Withdraw one or thousands; one that is not assigned stays so. They start no more contacts of the sequence from the next plan on."""
    with store.transaction() as connection:
        service.withdraw(connection, sequence_id, body.mailbox_ids)
