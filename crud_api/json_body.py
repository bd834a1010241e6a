"""Parses request bodies as JSON whatever their Content-Type is, as the first version of the API did."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json

_JSON = (b"content-type", b"application/json")


@dataclass(frozen=True)
class NotJson:
    """A body that is not JSON. Validation rejects it later, after the API key has been checked."""

    reason: str


class JsonRequest(Request):
    """A request whose body is parsed as strict JSON: valid UTF-8, finite numbers, limited nesting."""

    async def json(self) -> Any:
        try:
            return from_json(await self.body(), allow_inf_nan=False)
        except ValueError as error:
            return NotJson(str(error))


class JsonRoute(APIRoute):
    """A route that parses every body as JSON."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_as_json(request: Request) -> Response:
            others = [header for header in request.scope["headers"] if header[0].lower() != _JSON[0]]
            return await handle(JsonRequest({**request.scope, "headers": [*others, _JSON]}, request.receive))

        return handle_as_json
