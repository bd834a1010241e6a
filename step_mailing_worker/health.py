"""Tells /healthz and /readyz the state of a process with an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError

ANSWER_SECONDS = 4.0

Check = Callable[[], Awaitable[bool]]


class Health:
    """What a process needs to work, each part up or down. Create it inside a running event loop.

    The process notes the state of a part (`note`), or gives a check that each request of /readyz makes.
    """

    def __init__(self, *parts: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._noted = dict.fromkeys(parts, False)
        self._checks: dict[str, Check] = {}

    def note(self, part: str, *, up: bool) -> None:
        self._noted[part] = up

    def check(self, part: str, check: Check) -> None:
        self._checks[part] = check

    def is_alive(self) -> bool:
        """Return whether the event loop responds. Call it from another thread."""
        return self._answer(_nothing) is not None

    def parts(self) -> dict[str, bool]:
        """Return the state of each part. Call it from another thread than the event loop's."""
        checked = {part: bool(self._answer(check)) for part, check in self._checks.items()}
        return {**self._noted, **checked}

    def _answer(self, check: Check) -> bool | None:
        """Return the check's answer, or None if there was none in time."""
        asked = asyncio.run_coroutine_threadsafe(_called(check), self._loop)
        try:
            return asked.result(ANSWER_SECONDS)
        except (TimeoutError, CancelledError):
            asked.cancel()
            return None


async def _called(check: Check) -> bool:
    return await check()


async def _nothing() -> bool:
    return True
