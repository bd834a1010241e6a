"""Answers a GET whose `If-None-Match` has the ETag of the resource with 304 and no body."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_OF_THE_BODY = ("content-length", "content-type")


class NotModified:
    """Middleware that replaces a 200 response by 304 if the client has it already."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        condition = Headers(scope=scope).getlist("if-none-match") if scope["type"] == "http" else []
        if not condition or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        known = {tag.strip().removeprefix("W/") for line in condition for tag in line.split(",")}
        unchanged = False

        async def send_if_modified(message: Message) -> None:
            nonlocal unchanged
            if message["type"] == "http.response.start" and message["status"] == 200:  # noqa: PLR2004
                headers = MutableHeaders(scope=message)
                tag = headers.get("etag")
                unchanged = tag is not None and not known.isdisjoint({tag, "*"})
                if unchanged:
                    message["status"] = 304
                    for name in _OF_THE_BODY:
                        del headers[name]
            elif unchanged and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self._app(scope, receive, send_if_modified)
