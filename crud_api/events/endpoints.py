"""Defines the route of the feed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from crud_api.dependencies import Store
from crud_api.events import service
from crud_api.events.schemas import Event, EventQuery
from crud_api.openapi import error_responses

router = APIRouter(tags=["events"])


@router.get(
    "/events", summary="Read the feed", response_model=list[Event], responses=error_responses(409, 410)
)
def list_events(query: Annotated[EventQuery, Query()], store: Store) -> Response:
    """Read what happened, in one order that never changes and has no gaps.

    Keep the `X-Next-Cursor` of each page and send it as `after`: it is present also on an empty page. The
    events of a contact are in the order in which they happened. Events are kept for EVENTS_KEPT_DAYS.
    """
    with store.reading() as connection:
        return service.read(connection, query).response()
