"""Groups what many attempts ask of the queue into few calls: what arrives during one call forms the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Batches(Generic[Item, Answer]):
    """Hands items to `call` in lists of at most `most`; no timer, so a lone item waits for nothing."""

    def __init__(
        self, call: Callable[[list[Item]], Awaitable[list[Answer]]], *, most: int, at_once: int = 2
    ) -> None:
        self._call = call
        self._most = most
        self._waiting: asyncio.Queue[tuple[Item, asyncio.Future[Answer]]] = asyncio.Queue()
        self._callers = [asyncio.create_task(self._serve()) for _ in range(at_once)]

    async def submit(self, item: Item) -> Answer:
        """Return the item's own answer, or raise what its call raised."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((item, answer))
        return await answer

    async def close(self) -> None:
        """End; nothing may be submitted and unanswered any more."""
        for caller in self._callers:
            caller.cancel()
        await asyncio.gather(*self._callers, return_exceptions=True)

    async def _serve(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < self._most and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            await self._answer(batch)

    async def _answer(self, batch: list[tuple[Item, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._call([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001  # whatever it is, it is each submitter's
            for _, waiting in batch:
                if not waiting.done():
                    waiting.set_exception(error)
            return
        for (_, waiting), answer in zip(batch, answers, strict=True):
            if not waiting.done():
                waiting.set_result(answer)
