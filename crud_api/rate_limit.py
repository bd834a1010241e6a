"""Limits the requests of each API key.

If VALKEY_URL is set, Valkey counts for all processes; otherwise each process counts its own requests.
"""

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

VALKEY_TIMEOUT_SECONDS = 0.5
VALKEY_RETRY_SECONDS = 5.0


class RateLimit:
    """Counts requests per minute and key; a limit of 0 means no limit.

    After Valkey fails, this process counts locally for VALKEY_RETRY_SECONDS before it tries Valkey again.
    """

    def __init__(self, settings: ApiSettings) -> None:
        per_minute = settings.api_rate_limit_per_minute
        self._limit = RateLimitItemPerMinute(per_minute) if per_minute else None
        self._local = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared = _shared(settings)
        self._valkey_retry_at = 0.0

    def count(self, key_id: int) -> None:
        """Count a request; raise TooManyRequestsError, with Retry-After, if the key is over its limit.

        The call blocks while it waits for Valkey, so run it in a thread.
        """
        if self._limit is None:
            return
        retry_at = self._hit(self._limit, str(key_id))
        if retry_at is None:
            return
        seconds = max(1, math.ceil(retry_at - time.time()))
        raise TooManyRequestsError(
            f"This key may send {self._limit.amount} requests per minute. Try again in {seconds} s.",
            headers={"Retry-After": str(seconds)},
        )

    def _hit(self, limit: RateLimitItemPerMinute, key: str) -> float | None:
        if self._shared is not None and time.monotonic() >= self._valkey_retry_at:
            try:
                return _hit(self._shared, limit, key)
            except StorageError as error:
                log.warning(
                    "Valkey is unreachable: this process now counts the requests of each key on its own",
                    extra={"fields": {"error": type(error.storage_error).__name__}},
                )
                self._valkey_retry_at = time.monotonic() + VALKEY_RETRY_SECONDS
        return _hit(self._local, limit, key)


def _hit(limiter: SlidingWindowCounterRateLimiter, limit: RateLimitItemPerMinute, key: str) -> float | None:
    """Count a request; return None if it is allowed, else the Unix time when the next one is."""
    return None if limiter.hit(limit, key) else limiter.get_window_stats(limit, key).reset_time


def _shared(settings: ApiSettings) -> SlidingWindowCounterRateLimiter | None:
    if not settings.valkey_url:
        return None
    storage = RedisStorage(
        re.sub(
            "^redis", "valkey", settings.valkey_url
        ),  # the library selects its Valkey client by the URL scheme
        key_prefix=f"sequences:{settings.sequence_environment}:asked",
        wrap_exceptions=True,
        socket_timeout=VALKEY_TIMEOUT_SECONDS,
        socket_connect_timeout=VALKEY_TIMEOUT_SECONDS,
    )
    return SlidingWindowCounterRateLimiter(storage)
