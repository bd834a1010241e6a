"""Routes of the ledger."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from crud_api.dependencies import Store
from crud_api.openapi import answers
from crud_api.sends import service
from crud_api.sends.schemas import ContactSendQuery, Send, SequenceSendQuery

router = APIRouter(tags=["sends"])


@router.get(
    "/contacts/{contact_id}/sends",
    summary="List a contact's sends",
    response_model=list[Send],
    responses=answers(404),
)
def list_contact_sends(
    contact_id: UUID, query: Annotated[ContactSendQuery, Query()], store: Store
) -> Response:
    """Show what it was and will be sent, by time; last, as `waiting`, what is due and why it has no place.

    A deleted contact keeps its history.
    """
    with store.reading() as connection:
        return service.of_contact(connection, contact_id, query).shown()


@router.get(
    "/sequences/{sequence_id}/sends",
    summary="List a sequence's sends",
    response_model=list[Send],
    responses=answers(404),
)
def list_sequence_sends(
    sequence_id: UUID, query: Annotated[SequenceSendQuery, Query()], store: Store
) -> Response:
    """Show what its contacts were and will be sent, contact by contact; a due one without a place is `waiting`.

    A deleted sequence keeps its history.
    """
    with store.reading() as connection:
        return service.of_sequence(connection, sequence_id, query).shown()
