"""How often a key may ask: counted by Valkey for all processes where there is one, else by each for itself."""

from __future__ import annotations

import logging
import math
import re
import time

from limits import RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from crud_api.errors import TooManyRequestsError
from sequence_store.settings import ApiSettings

log = logging.getLogger("crud_api")

ANSWER_SECONDS = 0.5
PAUSE_SECONDS = 5.0


class RateLimit:
    """Counts requests a minute; 0 is no bound. Valkey away is not asked again for a while."""

    def __init__(self, settings: ApiSettings) -> None:
        per_minute = settings.api_rate_limit_per_minute
        self._limit = RateLimitItemPerMinute(per_minute) if per_minute else None
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared = _shared(settings)
        self._asked_again_at = 0.0

    def count(self, key_id: int) -> None:
        """Raise TooManyRequestsError, which says when to come back, where the key has asked too often.

        Valkey is waited for, so call it in a thread.
        """
        if self._limit is None:
            return
        free_at = self._hit(self._limit, str(key_id))
        if free_at is None:
            return
        seconds = max(1, math.ceil(free_at - time.time()))
        raise TooManyRequestsError(
            f"This key may ask {self._limit.amount} times a minute. Try again in {seconds} s.",
            headers={"Retry-After": str(seconds)},
        )

    def _hit(self, limit: RateLimitItemPerMinute, key: str) -> float | None:
        if self._shared is not None and time.monotonic() >= self._asked_again_at:
            try:
                return _hit(self._shared, limit, key)
            except StorageError as error:
                log.warning(
                    "Valkey is away: this process counts the requests of keys for itself",
                    extra={"fields": {"error": type(error.storage_error).__name__}},
                )
                self._asked_again_at = time.monotonic() + PAUSE_SECONDS
        return _hit(self._own, limit, key)


def _hit(limiter: SlidingWindowCounterRateLimiter, limit: RateLimitItemPerMinute, key: str) -> float | None:
    """Count a request; return None, or when there is room again."""
    return None if limiter.hit(limit, key) else limiter.get_window_stats(limit, key).reset_time


def _shared(settings: ApiSettings) -> SlidingWindowCounterRateLimiter | None:
    if not settings.valkey_url:
        return None
    storage = RedisStorage(
        re.sub("^redis", "valkey", settings.valkey_url),  # Valkey's client, whatever the server is called
        key_prefix=f"sequences:{settings.sequence_environment}:asked",
        wrap_exceptions=True,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=ANSWER_SECONDS,
    )
    return SlidingWindowCounterRateLimiter(storage)
