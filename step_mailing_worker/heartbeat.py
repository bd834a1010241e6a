"""Keeps a message hidden, and its claim leased, for as long as somebody works on it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class Heartbeat:
    """Calls `beat` every `period` seconds until it is stopped. Only a beat that is due is a task: most attempts see none."""

    def __init__(self, beat: Callable[[], Awaitable[None]], *, period: float) -> None:
        self._beat = beat
        self._period = period
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(period, self._due)
        self._beating: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        """Stop, and wait for the beat that is under way: a later change of visibility must not come before it."""
        self._timer.cancel()
        if self._beating:
            beating, self._beating = self._beating, None
            await beating

    def _due(self) -> None:
        self._beating = asyncio.create_task(self._run())

    async def _run(self) -> None:
        await self._beat()
        if self._beating:
            self._timer = self._loop.call_later(self._period, self._due)
