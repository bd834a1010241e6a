"""Routes of steps."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from crud_api.answers import IfMatch, shown
from crud_api.dependencies import Settings, Store
from crud_api.idempotency import Once
from crud_api.json_body import JsonRoute
from crud_api.openapi import answers
from crud_api.steps import preview, service
from crud_api.steps.schemas import Preview, PreviewQuery, Step, StepChanges, StepCreate

router = APIRouter(prefix="/sequences/{sequence_id}/steps", tags=["steps"], route_class=JsonRoute)


@router.post("", status_code=201, summary="Add a step", response_model=Step, responses=answers(404, 409, 413))
def add_step(sequence_id: UUID, body: StepCreate, once: Once) -> Response:
    """Contacts who have not come to its number yet get it too; nobody who has completed the sequence does."""
    return once.answer(lambda connection: service.add(connection, sequence_id, body))


@router.get("/{step_id}", summary="Get a step", response_model=Step, responses=answers(404))
def get_step(sequence_id: UUID, step_id: UUID, store: Store) -> Response:
    with store.reading() as connection:
        return shown(service.find(connection, sequence_id, step_id))


@router.patch(
    "/{step_id}", summary="Change a step", response_model=Step, responses=answers(404, 409, 412, 413)
)
def change_step(
    sequence_id: UUID, step_id: UUID, body: StepChanges, store: Store, match: IfMatch
) -> Response:
    """Change what is named. A mail is written from the step as it is when it is sent, whenever it was planned."""
    with store.transaction() as connection:
        match.require(lambda: service.find(connection, sequence_id, step_id, lock=True))
        return shown(service.change(connection, sequence_id, step_id, body))


@router.delete("/{step_id}", status_code=204, summary="Delete a step", responses=answers())
def delete_step(sequence_id: UUID, step_id: UUID, store: Store) -> None:
    """Its planned sends are cancelled at once. 204 whether or not there was such a step."""
    with store.transaction() as connection:
        service.delete(connection, sequence_id, step_id)


@router.get("/{step_id}/preview", summary="Preview a step for a contact", responses=answers(404, 409))
def preview_step(
    sequence_id: UUID,
    step_id: UUID,
    query: Annotated[PreviewQuery, Query()],
    store: Store,
    settings: Settings,
) -> Preview:
    """Render it as the mail would be now; nothing is sent. 409 says why this contact's mail cannot be written."""
    with store.reading() as connection:
        return preview.render(connection, sequence_id, step_id, query, settings)
