"""Routes for probes."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from crud_api.dependencies import Store
from crud_api.errors import UnavailableError
from crud_api.health.schemas import Health, PartState, Readiness
from crud_api.metrics import CONTENT_TYPE, Metrics
from crud_api.openapi import open_answers
from crud_api.tables import sequences

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Does the process answer", responses=open_answers())
async def get_health() -> Health:
    return Health()


@router.get(
    "/readyz",
    summary="Can requests be served",
    response_model=Readiness,
    responses=open_answers() | {503: {"model": Readiness, "description": "A part is down"}},
)
def get_readiness(store: Store) -> JSONResponse:
    """Names each part that the API needs, and whether it is up."""
    parts: dict[str, PartState] = {"database": _database(store)}
    down = [name for name, state in parts.items() if state == "down"]
    readiness = Readiness(message=f"down: {', '.join(down)}" if down else "ready", parts=parts)
    return JSONResponse(readiness.model_dump(by_alias=True), status_code=503 if down else 200)


@router.get(
    "/metrics",
    summary="Numbers for Prometheus",
    response_class=Response,
    responses=open_answers() | {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def get_metrics(request: Request) -> Response:
    """Of this process: requests by route and status, their duration, the pool. They hold no id and no address."""
    metrics: Metrics = request.app.state.metrics
    return Response(metrics.text(), headers={"Content-Type": CONTENT_TYPE})


def _database(store: Store) -> PartState:
    """Read a table, so that a database without the schema is not taken for one that is up."""
    try:
        with store.reading() as connection:
            connection.execute(select(sequences.c.id).limit(1))
    except (UnavailableError, DBAPIError):
        return "down"
    return "up"
