"""Streams the result of a COPY as a file. A client that breaks off frees the connection at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from anyio import (
    BrokenResourceError,
    CancelScope,
    CapacityLimiter,
    create_memory_object_stream,
    from_thread,
    to_thread,
)
from anyio.streams.memory import MemoryObjectSendStream
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from crud_api.database import WAIT_FOR_CONNECTION_SECONDS, CopyOut
from crud_api.errors import ApiError, UnavailableError
from crud_api.heads import is_head

MOST_DOWNLOADS = 4  # of one process at a time: each holds a thread and a connection until its end
BLOCKS_AHEAD = 2


class Download(StreamingResponse):
    """A CSV file. An error before its first block is an ordinary error response."""

    def __init__(self, name: str, source: CopyOut, running: asyncio.Semaphore) -> None:
        disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
        super().__init__((), headers=disposition, media_type="text/csv; charset=utf-8")
        self._source = source
        self._running = running
        self._head = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._head = is_head(scope)
        await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        """Send the file. Starlette cancels the call when the client is gone."""
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        if self._head:
            await send(start)
        else:
            async with aclosing(self._blocks()) as blocks:
                first = await anext(blocks)
                await send(start)
                await send({"type": "http.response.body", "body": first, "more_body": True})
                async for block in blocks:
                    await send({"type": "http.response.body", "body": block, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _blocks(self) -> AsyncGenerator[bytes]:
        """Yield the blocks that a thread reads. If the caller stops early, cancel the statement."""
        try:
            await asyncio.wait_for(self._running.acquire(), WAIT_FOR_CONNECTION_SECONDS)
        except TimeoutError:
            raise UnavailableError("Too many downloads are running. Try again in a moment.") from None
        blocks, received = create_memory_object_stream[bytes](BLOCKS_AHEAD)
        reading = asyncio.create_task(self._read(blocks))
        reading.add_done_callback(lambda _: self._running.release())
        try:
            async for block in received:
                yield block
            await reading
        finally:
            received.close()  # the thread's next `put` raises BrokenResourceError
            if not reading.done():
                with CancelScope(shield=True):
                    await to_thread.run_sync(self._source.cancel)

    async def _read(self, blocks: MemoryObjectSendStream[bytes]) -> None:
        """Read the source in a thread of its own, from its first block to its end or its cancellation."""

        def put(block: bytes) -> None:
            from_thread.run(blocks.send, block)

        with blocks:
            try:
                await to_thread.run_sync(self._source.read, put, limiter=CapacityLimiter(1))
            except BrokenResourceError:
                pass
            except ApiError:
                if blocks.statistics().open_receive_streams:
                    raise
