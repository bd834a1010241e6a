"""Limits the size of request bodies, and the time in which a client sends them."""

from __future__ import annotations

import asyncio
import time

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crud_api.errors import SlowClientError, TooLargeError

LIMIT = 2 * 1024 * 1024
FILE_LIMIT = 1024 * 1024 * 1024
FILES = frozenset({"/contacts/imports", "/suppressions/imports"})  # imports/body_file.py limits their time
LONGEST_SECONDS = 30


class BodyLimit:
    """Middleware that rejects a body above the limit, or one that is not complete after LONGEST_SECONDS.

    If Content-Length is above the limit, the body is rejected before it is read, otherwise as soon as the
    bytes received exceed the limit.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_file = scope["path"] in FILES
        limit = FILE_LIMIT if is_file else LIMIT
        message_text = f"body: is larger than {limit} bytes. Split it into several requests."
        declared = Headers(scope=scope).get("content-length", "")
        too_large = declared.isdecimal() and (len(declared) > 10 or int(declared) > limit)  # noqa: PLR2004
        received = 0
        complete = is_file
        ends_at = time.monotonic() + LONGEST_SECONDS

        async def receive_within_limit() -> Message:
            nonlocal received, complete
            if too_large:
                raise TooLargeError(message_text)
            # Once the body is complete, the only message left is that the client is gone.
            message = await (receive() if complete else _before(ends_at, receive))
            received += len(message.get("body", b""))
            complete = complete or not message.get("more_body", False)
            if received > limit:
                raise TooLargeError(message_text)
            return message

        await self._app(scope, receive_within_limit, send)


async def _before(ends_at: float, receive: Receive) -> Message:
    try:
        return await asyncio.wait_for(receive(), ends_at - time.monotonic())
    except TimeoutError:
        raise SlowClientError(f"body: was not complete after {LONGEST_SECONDS} s") from None
