"""Routes for probes."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from crud_api.dependencies import Store
from crud_api.documentation import answers
from crud_api.errors import UnavailableError
from crud_api.health.schemas import Health, PartState, Readiness
from crud_api.tables import sequences

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Does the process answer", responses=answers())
async def get_health() -> Health:
    return Health()


@router.get(
    "/readyz",
    summary="Can requests be served",
    response_model=Readiness,
    responses=answers() | {503: {"model": Readiness, "description": "A part is down"}},
)
def get_readiness(store: Store) -> JSONResponse:
    """Names each part that the API needs, and whether it is up."""
    parts: dict[str, PartState] = {"database": _database(store)}
    down = [name for name, state in parts.items() if state == "down"]
    readiness = Readiness(message=f"down: {', '.join(down)}" if down else "ready", parts=parts)
    return JSONResponse(readiness.model_dump(by_alias=True), status_code=503 if down else 200)


def _database(store: Store) -> PartState:
    """Read a table, so that a database without the schema is not taken for one that is up."""
    try:
        with store.reading() as connection:
            connection.execute(select(sequences.c.id).limit(1))
    except (UnavailableError, DBAPIError):
        return "down"
    return "up"
