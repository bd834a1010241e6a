"""Defines the route of the statistics."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from crud_api.dependencies import Store, Today
from crud_api.openapi import error_responses
from crud_api.responses import json_response, to_json_bytes
from crud_api.stats import service
from crud_api.stats.schemas import Stats, StatsQuery

router = APIRouter(tags=["stats"])


@router.get("/stats", summary="Get statistics", response_model=list[Stats], responses=error_responses())
def get_stats(query: Annotated[StatsQuery, Query()], store: Store, today: Today) -> Response:
    """Count what came of the mails, by sequence, step, mailbox or day of the mail.

    At most 1,000 rows, those with the most mails first; steps and days are in order, and of days the latest
    1,000 are shown. The counts come from the feed and are as new as its latest position.
    """
    with store.reading() as connection:
        return json_response(to_json_bytes(service.read(connection, query, today)))
