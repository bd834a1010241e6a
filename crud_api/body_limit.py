"""Limits the size of request bodies."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crud_api.errors import TooLargeError

LIMIT = 2 * 1024 * 1024
FILE_LIMIT = 1024 * 1024 * 1024
FILES = frozenset({"/contacts/imports", "/suppressions/imports"})


class BodyLimit:
    """Middleware that rejects a body above the limit.

    If Content-Length is above the limit, the body is rejected before it is read, otherwise as soon as the
    bytes received exceed the limit.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = FILE_LIMIT if scope["path"] in FILES else LIMIT
        message_text = f"body: is larger than {limit} bytes. Split it into several requests."
        declared = Headers(scope=scope).get("content-length", "")
        too_large = declared.isdecimal() and (len(declared) > 10 or int(declared) > limit)  # noqa: PLR2004
        received = 0

        async def receive_within_limit() -> Message:
            nonlocal received
            if too_large:
                raise TooLargeError(message_text)
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise TooLargeError(message_text)
            return message

        await self._app(scope, receive_within_limit, send)
