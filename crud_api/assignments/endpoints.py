"""Defines the routes for the mailboxes of a sequence."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from crud_api.assignments import service
from crud_api.assignments.schemas import MailboxIds, MailboxIdsQuery
from crud_api.dependencies import Store
from crud_api.idempotency import Idempotent
from crud_api.json_body import JsonRoute
from crud_api.listed_ids import in_body_or_query
from crud_api.mailboxes.schemas import Mailbox
from crud_api.openapi import error_responses
from crud_api.paging import Paging

router = APIRouter(prefix="/sequences/{sequence_id}/mailboxes", tags=["assignments"], route_class=JsonRoute)


@router.get(
    "",
    summary="List the mailboxes of a sequence",
    response_model=list[Mailbox],
    responses=error_responses(404),
)
def list_sequence_mailboxes(sequence_id: UUID, paging: Annotated[Paging, Query()], store: Store) -> Response:
    with store.reading() as connection:
        return service.read(connection, sequence_id, paging).response()


@router.post(
    "",
    status_code=201,
    summary="Assign mailboxes",
    response_model=list[Mailbox],
    responses=error_responses(404, 409, 413),
)
def assign_mailboxes(sequence_id: UUID, body: MailboxIds, idempotent: Idempotent) -> Response:
    """Assign mailboxes to a sequence. If one of them does not exist, none is assigned.

    Mailboxes that are assigned already are skipped.
    """
    return idempotent.create(lambda connection: service.assign(connection, sequence_id, body.mailbox_ids))


@router.delete("", status_code=204, summary="Unassign mailboxes", responses=error_responses(404, 413))
def withdraw_mailboxes(
    sequence_id: UUID,
    query: Annotated[MailboxIdsQuery, Query()],
    store: Store,
    body: MailboxIds | None = None,
) -> None:
    """Unassign mailboxes; skip those that are not assigned. The list is in the body or in the query.

    From the next plan on, these mailboxes send no first mails of the sequence.
    """
    listed = in_body_or_query(body, query.mailbox_ids, MailboxIds, "mailboxIds")
    with store.transaction() as connection:
        service.withdraw(connection, sequence_id, listed.mailbox_ids)
