"""Defines the routes for past and planned sends."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from crud_api.dependencies import Settings, Store
from crud_api.openapi import error_responses
from crud_api.sends import service
from crud_api.sends.schemas import ContactSendQuery, Send, SequenceSendQuery

router = APIRouter(tags=["sends"])


@router.get(
    "/contacts/{contact_id}/sends",
    summary="List a contact's sends",
    response_model=list[Send],
    responses=error_responses(404),
)
def list_contact_sends(
    contact_id: UUID, query: Annotated[ContactSendQuery, Query()], store: Store, settings: Settings
) -> Response:
    """List the sends of a contact in order of time.

    Due steps that have no slot come last, with the status `waiting` and the reason. A planned send that is
    held back at the moment (`enrolment_paused`, `sequence_inactive` and the like) has the status `waiting`,
    too; one whose enrolment has ended is shown as `cancelled`. The history of a deleted contact remains
    available.
    """
    with store.reading() as connection:
        return service.of_contact(connection, contact_id, query, settings.address_pads).response()


@router.get(
    "/sequences/{sequence_id}/sends",
    summary="List a sequence's sends",
    response_model=list[Send],
    responses=error_responses(404),
)
def list_sequence_sends(
    sequence_id: UUID, query: Annotated[SequenceSendQuery, Query()], store: Store, settings: Settings
) -> Response:
    """List the sends of a sequence, grouped by contact.

    A due step that has no slot, or whose planned send is held back at the moment, is listed with the status
    `waiting` and the reason. The history of a deleted sequence remains available.
    """
    with store.reading() as connection:
        return service.of_sequence(connection, sequence_id, query, settings.address_pads).response()
