"""Asks Valkey whether a mailbox's day has anything left, before a connection is made for nothing."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from datetime import date
from typing import Literal, cast

import valkey
import valkey.asyncio

from sequence_store.quota_counters import ANSWER_SECONDS, SECONDS, counter_name
from sequence_store.settings import WorkerSettings
from step_mailing_worker import logs

PAUSE_SECONDS = 5.0
CONNECTIONS = 4  # an answer takes a fraction of a millisecond

# Takes one unless nothing is left; an unknown day stays unknown.
_TAKE = """
local left = redis.call('GET', KEYS[1])
if not left then return -1 end
if tonumber(left) <= 0 then return 0 end
redis.call('DECR', KEYS[1])
return 1
"""
_GIVE_BACK = "if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('INCR', KEYS[1]) end"

Answer = Literal["taken", "refused", "unknown"]
_ANSWERS: dict[int, Answer] = {1: "taken", 0: "refused", -1: "unknown"}


class DayCounters:
    """The counters as a worker uses them. Valkey away is `unknown`, and is not asked again for a while."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._environment = settings.sequence_environment
        self._asked_again_at = 0.0
        self._client: valkey.asyncio.Valkey | None = None
        if settings.valkey_url:
            pool = valkey.asyncio.BlockingConnectionPool.from_url(
                settings.valkey_url,
                max_connections=CONNECTIONS,
                timeout=ANSWER_SECONDS,
                socket_timeout=ANSWER_SECONDS,
                socket_connect_timeout=ANSWER_SECONDS,
            )
            self._client = valkey.asyncio.Valkey.from_pool(pool)

    async def take(self, mailbox_id: int, send_day: date) -> Answer:
        return _ANSWERS.get(cast("int", await self._run(_TAKE, mailbox_id, send_day)), "unknown")

    async def give_back(self, mailbox_id: int, send_day: date) -> None:
        """Undo a take whose mail was not counted."""
        await self._run(_GIVE_BACK, mailbox_id, send_day)

    async def put(self, mailbox_id: int, send_day: date, left: int) -> None:
        """Correct a counter by what the database says."""
        await self._run(f"redis.call('SET', KEYS[1], ARGV[1], 'EX', {SECONDS})", mailbox_id, send_day, left)

    async def close(self) -> None:
        if self._client:
            await self._client.aclose()

    async def _run(self, script: str, mailbox_id: int, send_day: date, *values: int) -> object:
        if self._client is None or time.monotonic() < self._asked_again_at:
            return None
        name = counter_name(self._environment, mailbox_id, send_day)
        try:
            answer = self._client.eval(script, 1, name, *map(str, values))
            return await cast("Awaitable[object]", answer)
        except (valkey.ValkeyError, OSError) as error:
            logs.warn("valkey_away", error=type(error).__name__)
            self._asked_again_at = time.monotonic() + PAUSE_SECONDS
            return None
