"""Answers HEAD where GET works: with the status and the headers of GET, and no body."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_STATE = "is_head"


def is_head(scope: Scope) -> bool:
    """Return whether the client sent HEAD; routes see GET. A route that records something skips it."""
    return bool(scope.get("state", {}).get(_STATE, False))


class HeadAsGet:
    """Middleware that passes HEAD on as GET and drops the body of the response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        scope["state"][_STATE] = True
        as_get = {**scope, "method": "GET"}
        try:
            await self._app(as_get, receive, send_without_body)
        finally:
            scope["route"] = as_get.get("route")  # for the log, which sees the scope of the client's request
