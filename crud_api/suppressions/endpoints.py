"""Defines the routes for suppressions."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from crud_api.dependencies import KeyId, Settings, Store
from crud_api.idempotency import Idempotent
from crud_api.json_body import JsonRoute
from crud_api.openapi import error_responses
from crud_api.paths import id_segment
from crud_api.responses import model_response
from crud_api.suppressions import service
from crud_api.suppressions.schemas import Lifting, Suppression, SuppressionCreate, SuppressionQuery

router = APIRouter(prefix="/suppressions", tags=["suppressions"], route_class=JsonRoute)
SUPPRESSION = id_segment("suppression_id")


@router.get("", summary="List suppressions", response_model=list[Suppression], responses=error_responses())
def list_suppressions(
    query: Annotated[SuppressionQuery, Query()], store: Store, settings: Settings
) -> Response:
    """List suppressions in order of creation, without addresses, because no addresses are stored.

    To check whether an address is suppressed, set `mailAddress`.
    """
    with store.reading() as connection:
        return service.read(connection, query, settings.address_pads).response()


@router.post(
    "",
    status_code=201,
    summary="Suppress an address",
    response_model=Suppression,
    responses=error_responses(409, 413),
)
def suppress_address(body: SuppressionCreate, idempotent: Idempotent, settings: Settings) -> Response:
    """Stop all mails to an address, including those planned or dispatched, and end its enrolments.

    If the address is suppressed already, the existing suppression is returned unchanged.
    """
    return idempotent.create(lambda connection: service.suppress(connection, body, settings.address_pads))


@router.get(
    SUPPRESSION, summary="Get a suppression", response_model=Suppression, responses=error_responses(404)
)
def get_suppression(suppression_id: UUID, store: Store) -> Response:
    with store.reading() as connection:
        return model_response(service.find(connection, suppression_id))


@router.delete(
    SUPPRESSION, status_code=204, summary="Lift a suppression", responses=error_responses(404, 413)
)
def lift_suppression(suppression_id: UUID, body: Lifting, store: Store, key_id: KeyId) -> None:
    """Allow mails to the address again. Enrolments that have ended stay ended.

    `by`, `reason` and the API key of the request are recorded.
    """
    with store.transaction() as connection:
        service.lift(connection, suppression_id, body, key_id)
