"""Defines the routes for liveness, readiness and metrics."""

from __future__ import annotations

import logging
from functools import cache

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from crud_api.database import run
from crud_api.dependencies import Store
from crud_api.errors import UnavailableError
from crud_api.health.schemas import Health, PartState, Readiness
from crud_api.metrics import CONTENT_TYPE, Metrics
from crud_api.openapi import open_error_responses
from crud_api.tables import sequences
from sequence_store.postgres.schema_revision import SchemaState, newer_schema, schema_state

log = logging.getLogger("crud_api")

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Check liveness", responses=open_error_responses())
async def get_health() -> Health:
    return Health()


@router.get(
    "/readyz",
    summary="Check readiness",
    response_model=Readiness,
    responses=open_error_responses() | {503: {"model": Readiness, "description": "A component is down"}},
)
def get_readiness(store: Store) -> JSONResponse:
    """Return the state of each component that the API depends on. The status is 503 if one is down.

    The part `schema` is listed, as down, if the database lacks migrations of this release.
    """
    parts: dict[str, PartState] = {"database": _database(store)}
    if parts["database"] == "up" and not _is_migrated(store):
        parts["schema"] = "down"
    down = [name for name, state in parts.items() if state == "down"]
    readiness = Readiness(message=f"down: {', '.join(down)}" if down else "ready", parts=parts)
    return JSONResponse(readiness.model_dump(by_alias=True), status_code=503 if down else 200)


@router.get(
    "/metrics",
    summary="Get Prometheus metrics",
    response_class=Response,
    responses=open_error_responses() | {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def get_metrics(request: Request) -> Response:
    """Return the metrics of this process: requests by route and status, durations, and the connection pool.

    The metrics contain no ids and no addresses.
    """
    metrics: Metrics = request.app.state.metrics
    return Response(metrics.text(), headers={"Content-Type": CONTENT_TYPE})


def _is_migrated(store: Store) -> bool:
    """Return whether the schema is this release's or a newer one, on which this release works, too."""
    try:
        with store.reading() as connection:
            found = run(connection, "schema", "read_revision").scalar_one()
    except (UnavailableError, DBAPIError):  # a database of an earlier release has no such function
        return False
    state = schema_state(found)
    if state is SchemaState.NEWER:
        _say_once(newer_schema(found))
    return state is not SchemaState.OLDER


@cache
def _say_once(line: str) -> None:
    log.warning(line)


def _database(store: Store) -> PartState:
    """Read a table, so that a database without the schema counts as down."""
    try:
        with store.reading() as connection:
            connection.execute(select(sequences.c.id).limit(1))
    except (UnavailableError, DBAPIError):
        return "down"
    return "up"
