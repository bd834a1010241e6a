"""Routes of suppressions."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from crud_api.answers import shown
from crud_api.dependencies import KeyId, Settings, Store
from crud_api.idempotency import Once
from crud_api.json_body import JsonRoute
from crud_api.openapi import answers
from crud_api.paths import id_segment
from crud_api.suppressions import service
from crud_api.suppressions.schemas import Lifting, Suppression, SuppressionCreate, SuppressionQuery

router = APIRouter(prefix="/suppressions", tags=["suppressions"], route_class=JsonRoute)
SUPPRESSION = id_segment("suppression_id")


@router.get("", summary="List suppressions", response_model=list[Suppression], responses=answers())
def list_suppressions(
    query: Annotated[SuppressionQuery, Query()], store: Store, settings: Settings
) -> Response:
    """In the order in which they came. No address is kept; `mailAddress` tells whether one is suppressed."""
    with store.reading() as connection:
        return service.read(connection, query, settings.address_pads).shown()


@router.post(
    "",
    status_code=201,
    summary="Suppress an address",
    response_model=Suppression,
    responses=answers(409, 413),
)
def suppress_address(body: SuppressionCreate, once: Once, settings: Settings) -> Response:
    """Mail it nothing more, also nothing that is planned or on its way; its enrolments end.

    Suppressing it again changes nothing: the answer is the suppression that is there.
    """
    return once.answer(lambda connection: service.suppress(connection, body, settings.address_pads))


@router.get(SUPPRESSION, summary="Get a suppression", response_model=Suppression, responses=answers(404))
def get_suppression(suppression_id: UUID, store: Store) -> Response:
    with store.reading() as connection:
        return shown(service.find(connection, suppression_id))


@router.delete(SUPPRESSION, status_code=204, summary="Lift a suppression", responses=answers(404, 413))
def lift_suppression(suppression_id: UUID, body: Lifting, store: Store, key_id: KeyId) -> None:
    """Let the address be mailed again. Who says so, why, and the key in use are kept; what has ended stays so."""
    with store.transaction() as connection:
        service.lift(connection, suppression_id, body, key_id)
