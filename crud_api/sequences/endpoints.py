"""Defines the routes for sequences."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from crud_api.dependencies import Store
from crud_api.idempotency import Idempotent
from crud_api.json_body import JsonRoute
from crud_api.openapi import error_responses
from crud_api.responses import IfMatch, model_response
from crud_api.sequences import service
from crud_api.sequences.schemas import Sequence, SequenceChanges, SequenceCreate, SequenceQuery

router = APIRouter(prefix="/sequences", tags=["sequences"], route_class=JsonRoute)


@router.post(
    "",
    status_code=201,
    summary="Create a sequence",
    response_model=Sequence,
    responses=error_responses(409, 413),
)
def create_sequence(body: SequenceCreate, idempotent: Idempotent) -> Response:
    """Create a sequence with its steps. It sends mails as soon as it has mailboxes and enrolled contacts.

    Its name need not be unique. To avoid a second sequence if you repeat the request, send an
    `Idempotency-Key`.
    """
    return idempotent.create(lambda connection: service.create(connection, body))


@router.get("", summary="List sequences", response_model=list[Sequence], responses=error_responses())
def list_sequences(query: Annotated[SequenceQuery, Query()], store: Store) -> Response:
    """List sequences with their steps."""
    with store.reading() as connection:
        return service.read(connection, query).response()


@router.get(
    "/{sequence_id}", summary="Get a sequence", response_model=Sequence, responses=error_responses(404)
)
def get_sequence(sequence_id: UUID, store: Store) -> Response:
    with store.reading() as connection:
        return model_response(service.find(connection, sequence_id))


@router.patch(
    "/{sequence_id}",
    summary="Change a sequence",
    response_model=Sequence,
    responses=error_responses(404, 409, 412, 413),
)
def change_sequence(sequence_id: UUID, body: SequenceChanges, store: Store, match: IfMatch) -> Response:
    with store.transaction() as connection:
        match.require(lambda: service.find(connection, sequence_id, lock=True))
        return model_response(service.change(connection, sequence_id, body))


@router.delete(
    "/{sequence_id}", status_code=204, summary="Delete a sequence", responses=error_responses(404, 412)
)
def delete_sequence(sequence_id: UUID, store: Store, match: IfMatch) -> None:
    """Delete a sequence. Its planned mails are not sent; its past sends stay in the history."""
    with store.transaction() as connection:
        match.require(lambda: service.find(connection, sequence_id, lock=True))
        service.delete(connection, sequence_id)
