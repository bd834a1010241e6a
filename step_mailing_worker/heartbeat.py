"""Renews a message's visibility timeout and its claim's lease while an attempt runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class Heartbeat:
    """Calls `beat` every `period` seconds until it is stopped. Most attempts end before the first beat."""

    def __init__(self, beat: Callable[[], Awaitable[None]], *, period: float) -> None:
        self._beat = beat
        self._period = period
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(period, self._due)
        self._beating: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        """Stop, and wait for the current beat: it must not overwrite a later change of the visibility."""
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
