"""Reserves mails from a mailbox's daily quota in Valkey, to avoid SMTP connections if it is used up."""

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
CONNECTIONS = 4  # enough: a call takes a fraction of a millisecond

# Reserves one mail unless none is left; a missing counter stays missing.
_RESERVE = """
local left = redis.call('GET', KEYS[1])
if not left then return -1 end
if tonumber(left) <= 0 then return 0 end
redis.call('DECR', KEYS[1])
return 1
"""
_RELEASE = "if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('INCR', KEYS[1]) end"

Reservation = Literal["reserved", "refused", "unknown"]
_RESERVATIONS: dict[int, Reservation] = {1: "reserved", 0: "refused", -1: "unknown"}


class QuotaCounters:
    """Calls Valkey; if it is unavailable, returns `unknown` and skips calls for PAUSE_SECONDS."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._environment = settings.sequence_environment
        self._paused_until = 0.0
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

    async def reserve(self, mailbox_id: int, send_day: date) -> Reservation:
        """Reserve one mail; return `unknown` if the counter is missing or Valkey is unavailable."""
        return _RESERVATIONS.get(cast("int", await self._run(_RESERVE, mailbox_id, send_day)), "unknown")

    async def release(self, mailbox_id: int, send_day: date) -> None:
        """Undo a reservation whose mail was not counted."""
        await self._run(_RELEASE, mailbox_id, send_day)

    async def correct(self, mailbox_id: int, send_day: date, left: int) -> None:
        """Set a counter to the number of mails that the database has left."""
        await self._run(f"redis.call('SET', KEYS[1], ARGV[1], 'EX', {SECONDS})", mailbox_id, send_day, left)

    async def close(self) -> None:
        if self._client:
            await self._client.aclose()

    async def _run(self, script: str, mailbox_id: int, send_day: date, *values: int) -> object:
        if self._client is None or time.monotonic() < self._paused_until:
            return None
        name = counter_name(self._environment, mailbox_id, send_day)
        try:
            call = self._client.eval(script, 1, name, *map(str, values))
            return await cast("Awaitable[object]", call)
        except (valkey.ValkeyError, OSError) as error:
            logs.warn("valkey_away", error=type(error).__name__)
            self._paused_until = time.monotonic() + PAUSE_SECONDS
            return None
