"""Reads a request body as a file in a worker thread, with bounded memory."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

from anyio import from_thread
from starlette.requests import ClientDisconnect

from crud_api.errors import InvalidInputError

LONGEST_PAUSE_SECONDS = 60
BUFFERED = 256 * 1024


class _Body(io.RawIOBase):
    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer completely; only the last read returns less."""
        filled = 0
        while filled < len(buffer):
            if not self._rest:
                chunk = from_thread.run(self._next)
                if chunk is None:
                    break
                self._rest = memoryview(chunk)
            taken = min(len(buffer) - filled, len(self._rest))
            buffer[filled : filled + taken] = self._rest[:taken]
            self._rest, filled = self._rest[taken:], filled + taken
        return filled

    async def _next(self) -> bytes | None:
        try:
            return await asyncio.wait_for(anext(self._chunks, None), LONGEST_PAUSE_SECONDS)
        except TimeoutError:
            raise InvalidInputError(f"body: no data was received for {LONGEST_PAUSE_SECONDS} s") from None
        except ClientDisconnect:
            raise InvalidInputError("body: the connection was closed before the body was complete") from None


def body_file(chunks: AsyncIterator[bytes]) -> io.BufferedReader:
    """Return the chunks as a file. Read it in a worker thread of the event loop."""
    return io.BufferedReader(_Body(chunks), BUFFERED)
