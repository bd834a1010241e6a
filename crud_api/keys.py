"""Who asks: the key in `Authorization: Bearer …`, what it may do, and how often it may ask."""

from __future__ import annotations

import math
import time
from collections.abc import Collection

from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from sqlalchemy import bindparam, func, select
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from crud_api.database import Database
from crud_api.errors import ForbiddenError, TooManyRequestsError, UnauthorizedError
from crud_api.tables import api_keys
from sequence_store.api_keys import Scope, hash_key

NO_KEY = 0
DESCRIPTION = "A key that `sequences keys create` made. Each operation names the scope that it needs."
SAFE = frozenset({"GET", "HEAD"})

# The area of a tag that is none itself.
AREAS = {
    "steps": "sequences",
    "assignments": "sequences",
    "enrolments": "sequences",
    "imports": "contacts",
}

_keys = api_keys.c
_FIND = select(
    _keys.id,
    _keys.scopes,
    _keys.revoked_at.is_not(None).label("revoked"),
    func.coalesce(_keys.expires_at <= func.now(), False).label("expired"),
).where(_keys.key_hash == bindparam("key_hash"))


class RateLimit:
    """How often each key may ask of this process; 0 a minute is no bound."""

    def __init__(self, per_minute: int) -> None:
        self._limit = RateLimitItemPerMinute(per_minute) if per_minute else None
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    def count(self, key_id: int) -> None:
        """Raise TooManyRequestsError, which says when to come back, where the key has asked too often."""
        if self._limit is None or self._limiter.hit(self._limit, str(key_id)):
            return
        free_at = self._limiter.get_window_stats(self._limit, str(key_id)).reset_time
        seconds = max(1, math.ceil(free_at - time.time()))
        raise TooManyRequestsError(
            f"This key may ask {self._limit.amount} times a minute. Try again in {seconds} s.",
            headers={"Retry-After": str(seconds)},
        )


def scope_of(tags: Collection[str], method: str) -> Scope:
    """Return the scope that a route of these tags needs."""
    area = next(iter(tags))
    return Scope(f"{AREAS.get(area, area)}:{'read' if method in SAFE else 'write'}")


class KeyRequired(HTTPBearer):
    """Lets a request pass whose key is valid and has the route's scope; counts it.

    One dependency for all of it, as each costs every request.
    """

    def __init__(self) -> None:
        super().__init__(auto_error=False, scheme_name="key", description=DESCRIPTION)

    async def __call__(self, request: HTTPConnection) -> None:
        state = request.app.state
        if not state.settings.keys_needed:
            request.state.key_id = NO_KEY
            return
        credentials = await super().__call__(request)
        route: APIRoute = request.scope["route"]
        scope = scope_of([str(tag) for tag in route.tags], request.scope["method"])
        key_id = await run_in_threadpool(_key_with, scope, state.database, credentials)
        state.rate_limit.count(key_id)
        request.state.key_id = key_id


def _key_with(scope: Scope, store: Database, credentials: HTTPAuthorizationCredentials | None) -> int:
    """Return the id of the key, if it is valid and has the scope."""
    if credentials is None:
        raise UnauthorizedError("Authorization: a key is needed, as `Bearer <key>`")
    with store.reading() as connection:
        key = connection.execute(_FIND, {"key_hash": hash_key(credentials.credentials)}).first()
    if key is None:
        raise UnauthorizedError("Authorization: the key is unknown")
    if key.revoked or key.expired:
        raise UnauthorizedError(f"Authorization: the key {'is revoked' if key.revoked else 'has expired'}")
    if scope not in key.scopes:
        raise ForbiddenError(f"Authorization: the key lacks the scope {scope}")
    key_id: int = key.id
    return key_id
