"""Authenticates requests: checks the key in `Authorization: Bearer …`, its scopes and its rate limit.

A browser that opens a page, such as a link of the Dagster UI, asks its user for a name and a password: the
password is the key. Only reading accepts it, because a browser adds it to the requests of other sites, too.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Mapping
from types import MappingProxyType

from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import bindparam, func, select
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from crud_api.database import Database
from crud_api.errors import ForbiddenError, UnauthorizedError
from crud_api.rate_limit import RateLimit
from crud_api.tables import api_keys
from sequence_store.secrets.api_keys import PREFIX, Scope, hash_key

NO_KEY = 0
DESCRIPTION = (
    "An API key, created with `sequences keys create`. Each operation lists the scope that it requires."
)
READ_METHODS = frozenset({"GET", "HEAD"})
# What a browser shows in its dialog.
BROWSER_CHALLENGE = 'Basic realm="Sequence API: any user name, and an API key as password", charset="UTF-8"'

# Tags that have no scope of their own, and the area whose scopes apply to them.
AREAS = {
    "steps": "sequences",
    "assignments": "sequences",
    "enrolments": "sequences",
    "imports": "contacts",
    "events": "sends",
    "stats": "sends",
}

ALWAYS = ""  # stands for every request, with whichever parameters
# What else an operation requires, by its name, so that a key cannot do or read by it what it lacks the right
# to: a parameter of the query, or ALWAYS, and the scope that a request with it requires. docs/security.md
# shows the same table.
ALSO_REQUIRED: Mapping[str, Mapping[str, Scope]] = MappingProxyType(
    {
        "import_contacts": {"sequenceId": Scope.SEQUENCES_WRITE},
        "preview_step": {"contactId": Scope.CONTACTS_READ, "mailboxId": Scope.MAILBOXES_READ},
        "list_sequence_mailboxes": {ALWAYS: Scope.MAILBOXES_READ},
        "assign_mailboxes": {ALWAYS: Scope.MAILBOXES_READ},
    }
)

_keys = api_keys.c
_FIND = select(
    _keys.id,
    _keys.scopes,
    _keys.revoked_at.is_not(None).label("revoked"),
    func.coalesce(_keys.expires_at <= func.now(), False).label("expired"),
).where(_keys.key_hash == bindparam("key_hash"))


def scope_of(tags: Collection[str], method: str) -> Scope:
    """Return the scope of a route's area that the route requires for `method`."""
    area = next(iter(tags))
    return Scope(f"{AREAS.get(area, area)}:{'read' if method in READ_METHODS else 'write'}")


def scopes_of(name: str, tags: Collection[str], method: str, parameters: Collection[str]) -> list[Scope]:
    """Return all scopes that a request to the operation `name` requires if its query has `parameters`."""
    also = ALSO_REQUIRED.get(name, {})
    return [scope_of(tags, method)] + [
        scope for parameter, scope in also.items() if parameter == ALWAYS or parameter in parameters
    ]


class KeyRequired(HTTPBearer):
    """Dependency that checks the key of a request and counts the request against the rate limit.

    The checks share one dependency because each dependency adds time to every request.

    Raise UnauthorizedError, ForbiddenError or TooManyRequestsError.
    """

    def __init__(self) -> None:
        super().__init__(auto_error=False, scheme_name="key", description=DESCRIPTION)

    async def __call__(self, request: HTTPConnection) -> None:
        state = request.app.state
        if not state.settings.keys_needed:
            request.state.key_id = NO_KEY
            return
        credentials = await super().__call__(request) or _typed_key(request)
        route: APIRoute = request.scope["route"]
        tags, method = [str(tag) for tag in route.tags], request.scope["method"]
        scopes = scopes_of(route.name, tags, method, request.query_params.keys())
        try:
            request.state.key_id = await run_in_threadpool(
                _check_key, scopes, state.database, state.rate_limit, credentials
            )
        except UnauthorizedError as error:
            if _opens_page(request):
                error.headers = {"WWW-Authenticate": BROWSER_CHALLENGE}
            raise


def _opens_page(request: HTTPConnection) -> bool:
    """Return whether a browser sent the request because a person opened its URL."""
    accepted = request.headers.get("accept", "")
    return request.scope["method"] in READ_METHODS and "text/html" in accepted.lower()


def _typed_key(request: HTTPConnection) -> HTTPAuthorizationCredentials | None:
    """Return the key that a person typed as password in the browser's dialog (RFC 7617), if there is one."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic" or request.scope["method"] not in READ_METHODS:
        return None
    try:
        password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return None
    found = password.strip()
    return (
        HTTPAuthorizationCredentials(scheme="Basic", credentials=found) if found.startswith(PREFIX) else None
    )


def _check_key(
    scopes: Collection[Scope],
    store: Database,
    rate_limit: RateLimit,
    credentials: HTTPAuthorizationCredentials | None,
) -> int:
    """Return the id of the key if it is valid, has the scopes and is within its rate limit."""
    if credentials is None:
        raise UnauthorizedError("Authorization: an API key is required, as `Bearer <key>`")
    with store.reading() as connection:
        key = connection.execute(_FIND, {"key_hash": hash_key(credentials.credentials)}).first()
    if key is None:
        raise UnauthorizedError("Authorization: the key is unknown")
    if key.revoked or key.expired:
        raise UnauthorizedError(f"Authorization: the key {'is revoked' if key.revoked else 'has expired'}")
    if missing := [scope for scope in scopes if scope not in key.scopes]:
        raise ForbiddenError(f"Authorization: the key lacks the scope {' and '.join(missing)}")
    rate_limit.count(key.id)
    key_id: int = key.id
    return key_id
