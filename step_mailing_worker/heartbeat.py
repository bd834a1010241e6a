"""Keeps a message hidden, and its claim leased, for as long as somebody works on it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress


class Heartbeat:
    """Calls `beat` every `period` seconds until it is stopped."""

    def __init__(self, beat: Callable[[], Awaitable[None]], *, period: float) -> None:
        self._beat = beat
        self._period = period
        self._stopped = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop, and wait for the beat that is under way: a later change of visibility must not come before it."""
        self._stopped.set()
        await self._task

    async def _run(self) -> None:
        while not self._stopped.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), self._period)
                return
            await self._beat()
