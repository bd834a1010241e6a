"""Defines the routes for the steps of a sequence."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from crud_api.dependencies import Settings, Store
from crud_api.idempotency import Idempotent
from crud_api.json_body import JsonRoute
from crud_api.openapi import error_responses
from crud_api.responses import IfMatch, model_response
from crud_api.steps import preview, service
from crud_api.steps.schemas import Preview, PreviewQuery, Step, StepChanges, StepCreate

router = APIRouter(prefix="/sequences/{sequence_id}/steps", tags=["steps"], route_class=JsonRoute)


@router.post(
    "", status_code=201, summary="Add a step", response_model=Step, responses=error_responses(404, 409, 413)
)
def add_step(sequence_id: UUID, body: StepCreate, idempotent: Idempotent) -> Response:
    """Add a step to a sequence. Contacts that have not yet passed its `stepNumber` get it, too.

    Contacts that have completed the sequence do not.
    """
    return idempotent.create(lambda connection: service.add(connection, sequence_id, body))


@router.get("/{step_id}", summary="Get a step", response_model=Step, responses=error_responses(404))
def get_step(sequence_id: UUID, step_id: UUID, store: Store) -> Response:
    with store.reading() as connection:
        return model_response(service.find(connection, sequence_id, step_id))


@router.patch(
    "/{step_id}", summary="Change a step", response_model=Step, responses=error_responses(404, 409, 412, 413)
)
def change_step(
    sequence_id: UUID, step_id: UUID, body: StepChanges, store: Store, match: IfMatch
) -> Response:
    """Change only the fields in the body. Planned mails use the content of the step when they are sent."""
    with store.transaction() as connection:
        match.require(lambda: service.find(connection, sequence_id, step_id, lock=True))
        return model_response(service.change(connection, sequence_id, step_id, body))


@router.delete("/{step_id}", status_code=204, summary="Delete a step", responses=error_responses())
def delete_step(sequence_id: UUID, step_id: UUID, store: Store) -> None:
    """Delete a step and cancel its planned sends. If the step does not exist, the response is 204, too."""
    with store.transaction() as connection:
        service.delete(connection, sequence_id, step_id)


@router.get("/{step_id}/preview", summary="Preview a step for a contact", responses=error_responses(404, 409))
def preview_step(
    sequence_id: UUID,
    step_id: UUID,
    query: Annotated[PreviewQuery, Query()],
    store: Store,
    settings: Settings,
) -> Preview:
    """Render the mail without sending it. If that is impossible for this contact, 409 gives the reason."""
    with store.reading() as connection:
        return preview.render(connection, sequence_id, step_id, query, settings)
