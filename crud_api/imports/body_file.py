"""Receives a request body as a temporary file.

While the client sends, the upload holds a socket and a file, but no thread and no database connection. So
slow uploads do not delay other requests.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import BinaryIO

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from crud_api.errors import InvalidInputError, SlowClientError, UnavailableError

Beat = Callable[[int], Awaitable[None]]  # called with the number of lines received so far
PartOf = Callable[[bytes], bytes]  # returns what of a chunk belongs to the file

LONGEST_PAUSE_SECONDS = 60
LEAST_BYTES_PER_SECOND = 1024  # on average, after LONGEST_PAUSE_SECONDS
BEAT_SECONDS = 1.0
BEAT_LINES = 50_000
WRITTEN_AT_ONCE = 1024 * 1024


async def receive_file(
    file: BinaryIO, chunks: AsyncIterator[bytes], beat: Beat, part_of: PartOf | None = None
) -> None:
    """Write the chunks to `file`; with `part_of`, what it returns of each chunk.

    `beat` is called every BEAT_SECONDS and BEAT_LINES until the file is complete. Raise ApiError if the
    client is gone, sends nothing for LONGEST_PAUSE_SECONDS or sends too slowly, or if the disk is full.
    """
    block = bytearray()
    async for chunk in _timed(chunks, beat):
        block += chunk if part_of is None else part_of(chunk)
        if len(block) >= WRITTEN_AT_ONCE:
            await _write(file, bytes(block))
            block.clear()
    await _write(file, bytes(block))


async def _write(file: BinaryIO, block: bytes) -> None:
    try:
        await run_in_threadpool(file.write, block)
        await run_in_threadpool(file.flush)
    except OSError:
        raise UnavailableError("The server has no space left to receive the file. Try again later.") from None


async def _timed(chunks: AsyncIterator[bytes], beat: Beat) -> AsyncIterator[bytes]:
    """Yield the chunks; call `beat` while they arrive, and raise SlowClientError if they do not."""
    began = arrived = beaten = time.monotonic()
    received = lines = lines_beaten = 0
    following = asyncio.ensure_future(_next(chunks))
    try:
        while True:
            await asyncio.wait({following}, timeout=BEAT_SECONDS)
            now = time.monotonic()
            if now - beaten >= BEAT_SECONDS or lines - lines_beaten >= BEAT_LINES:
                await beat(lines)
                beaten, lines_beaten = time.monotonic(), lines
            if following.done():
                chunk = following.result()
                if chunk is None:
                    return
                received, arrived = received + len(chunk), now
                lines += chunk.count(b"\n")
                yield chunk
                following = asyncio.ensure_future(_next(chunks))
            elif now - arrived >= LONGEST_PAUSE_SECONDS:
                raise SlowClientError(f"body: no data was received for {LONGEST_PAUSE_SECONDS} s")
            _check_pace(received, now - began)
    finally:
        following.cancel()


def _check_pace(received: int, seconds: float) -> None:
    if seconds > LONGEST_PAUSE_SECONDS and received < LEAST_BYTES_PER_SECOND * seconds:
        raise SlowClientError(f"body: was sent at less than {LEAST_BYTES_PER_SECOND} bytes per second")


async def _next(chunks: AsyncIterator[bytes]) -> bytes | None:
    try:
        return await anext(chunks, None)
    except ClientDisconnect:
        raise InvalidInputError("body: the connection was closed before the body was complete") from None
