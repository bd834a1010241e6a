"""Groups what many attempts ask of a queue or the database into few calls: what arrives during one call forms the next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Batches(Generic[Item, Answer]):
    """Hands items to `call` in lists of at most `most`, in at most `at_once` calls at a time.

    `call` answers each item, in order; what it raises, it raises for all. `linger` seconds are waited for more before
    a call; without, a lone item waits for nothing.
    """

    def __init__(
        self,
        call: Callable[[list[Item]], Awaitable[Sequence[Answer]]],
        *,
        most: int,
        at_once: int = 1,
        linger: float = 0.0,
    ) -> None:
        self._call = call
        self._most = most
        self._linger = linger
        self._waiting: deque[tuple[Item, asyncio.Future[Answer]]] = deque()
        self._news = asyncio.Event()
        self._free = asyncio.Semaphore(at_once)
        self._calls: set[asyncio.Task[None]] = set()
        self._caller = asyncio.create_task(self._serve())

    async def submit(self, item: Item) -> Answer:
        """Return the item's own answer, or raise what its call raised.

        Who is cancelled meanwhile goes on only when the item is answered or withdrawn: what undoes a call has to
        come after it.
        """
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        self._news.set()
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            await self._withdrawn(answer)
            raise

    async def close(self) -> None:
        """End; nothing may be submitted and unanswered any more."""
        self._caller.cancel()
        await asyncio.gather(self._caller, return_exceptions=True)

    async def _withdrawn(self, answer: asyncio.Future[Answer]) -> None:
        for entry in self._waiting:
            if entry[1] is answer:
                self._waiting.remove(entry)
                return
        while not answer.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([answer])
        answer.exception()  # nobody else will ask for it

    async def _serve(self) -> None:
        while True:
            await self._free.acquire()
            await self._news.wait()
            if self._linger and len(self._waiting) < self._most:
                await asyncio.sleep(self._linger)
            batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
            if not self._waiting:
                self._news.clear()
            call = asyncio.create_task(self._answer(batch))
            self._calls.add(call)
            call.add_done_callback(self._called)

    def _called(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        self._free.release()

    async def _answer(self, batch: list[tuple[Item, asyncio.Future[Answer]]]) -> None:
        if not batch:  # all were withdrawn
            return
        try:
            answers = await self._call([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001  # whatever it is, it is each submitter's
            for _, waiting in batch:
                waiting.set_exception(error)
            return
        for (_, waiting), answer in zip(batch, answers, strict=True):
            waiting.set_result(answer)
