"""Groups the requests of many attempts into few calls: items that arrive during one call form the next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batches(Generic[Item, Result]):
    """Passes items to `call` in lists of at most `most`, with at most `at_once` concurrent calls.

    `call` returns one result per item, in order; an error that it raises is raised for all of its items.
    If a call is not full, it waits `linger` seconds for more items; by default it begins at once.
    """

    def __init__(
        self,
        call: Callable[[list[Item]], Awaitable[Sequence[Result]]],
        *,
        most: int,
        at_once: int = 1,
        linger: float = 0.0,
    ) -> None:
        self._call = call
        self._most = most
        self._linger = linger
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._arrived = asyncio.Event()
        self._free = asyncio.Semaphore(at_once)
        self._calls: set[asyncio.Task[None]] = set()
        self._caller = asyncio.create_task(self._serve())

    async def submit(self, item: Item) -> Result:
        """Return the item's result, or raise the error of its call.

        A cancelled caller continues only after the call has ended or the item is withdrawn, because cleanup
        that undoes the call must run after it.
        """
        result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, result))
        self._arrived.set()
        try:
            return await asyncio.shield(result)
        except asyncio.CancelledError:
            await self._withdraw(result)
            raise

    async def close(self) -> None:
        """Stop; every submitted item must have its result."""
        self._caller.cancel()
        await asyncio.gather(self._caller, return_exceptions=True)

    async def _withdraw(self, result: asyncio.Future[Result]) -> None:
        for entry in self._waiting:
            if entry[1] is result:
                self._waiting.remove(entry)
                return
        while not result.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([result])
        result.exception()  # marks it as retrieved; asyncio logs errors that are not

    async def _serve(self) -> None:
        while True:
            await self._free.acquire()
            await self._arrived.wait()
            if self._linger and len(self._waiting) < self._most:
                await asyncio.sleep(self._linger)
            batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
            if not self._waiting:
                self._arrived.clear()
            call = asyncio.create_task(self._run(batch))
            self._calls.add(call)
            call.add_done_callback(self._called)

    def _called(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        self._free.release()

    async def _run(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        if not batch:  # all items were withdrawn
            return
        try:
            results = await self._call([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001  # every submitter handles it
            for _, waiting in batch:
                waiting.set_exception(error)
            return
        for (_, waiting), result in zip(batch, results, strict=True):
            waiting.set_result(result)
