"""Makes creating requests idempotent: a request with an Idempotency-Key is executed once.

The key is stored in the transaction that creates the resource. A concurrent request with the same key waits
for that transaction, then returns its response. If the transaction rolls back, the key is free again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response
from sqlalchemy import Connection, and_, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from crud_api.database import Database
from crud_api.dependencies import KeyId, Store
from crud_api.errors import ConflictError
from crud_api.responses import json_response, to_json_bytes
from crud_api.tables import AnyRow, idempotency_keys

KEY_LIFETIME = timedelta(hours=24)
DELETE_BATCH = 100
REPLAYED = {"Idempotency-Replayed": "true"}

_rows = idempotency_keys.c
_expired = _rows.created < func.now() - KEY_LIFETIME

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[!-~]{1,255}$",
        description="A string chosen by the client. Requests with it are executed once within 24 hours",
    ),
]


class IdempotentRequest:
    """A request that creates a resource."""

    def __init__(
        self, store: Database, path: str, *, client: int, key: str | None, fingerprint: bytes
    ) -> None:
        self._store = store
        self._path = path
        self._row = {"api_key_id": client, "idempotency_key": key}
        self._key = key
        self._fingerprint = fingerprint

    def create(
        self, create: Callable[[Connection], Any], *, stored: Callable[[Any], Any] | None = None
    ) -> Response:
        """Call `create` in a transaction and return what it created as a 201 response.

        If the key was used before by the same request, return the stored response instead: that of `stored`,
        if what was created holds a secret.

        Raise ConflictError if the key was used for another request, or if the stored response was deleted.
        """
        with self._store.transaction() as connection:
            if self._key is None or self._is_first(connection):
                created = create(connection)
                content = to_json_bytes(created)
                created_id = getattr(created, "id", None)
                if self._key is not None:
                    kept = to_json_bytes(stored(created)) if stored else content
                    connection.execute(self._update_own_row().values(answer=kept, created_id=created_id))
                location = {"Location": f"{self._path}/{created_id}"} if created_id else {}
                return json_response(content, 201, headers=location)
            return self._replay(connection)

    def _is_first(self, connection: Connection) -> bool:
        """Store the key; return whether it was free. Wait for a concurrent request with the same key."""
        _delete_expired_keys(connection)
        new_key = insert(idempotency_keys).values(**self._row, fingerprint=self._fingerprint)
        reserved = new_key.on_conflict_do_update(
            index_elements=["api_key_id", "idempotency_key"],
            set_={"fingerprint": self._fingerprint, "answer": None, "created": func.now()},
            where=_expired,
        )
        return connection.execute(reserved.returning(_rows.created)).first() is not None

    def _replay(self, connection: Connection) -> Response:
        statement = select(_rows.fingerprint, _rows.answer, _rows.created_id).where(self._is_own_row())
        first: AnyRow = connection.execute(statement).one()
        if first.fingerprint != self._fingerprint:
            raise ConflictError("Idempotency-Key: was already used for a different request")
        if first.answer is None:
            raise ConflictError(
                "Idempotency-Key: the stored response was deleted because the address of the created contact "
                "has changed since. Read the contact instead."
            )
        location = {"Location": f"{self._path}/{first.created_id}"} if first.created_id else {}
        return json_response(first.answer, 201, headers=location | REPLAYED)

    def _is_own_row(self) -> Any:
        return and_(*(_rows[name] == value for name, value in self._row.items()))

    def _update_own_row(self) -> Any:
        return update(idempotency_keys).where(self._is_own_row())


def _delete_expired_keys(connection: Connection) -> None:
    """Delete a batch of expired keys, except those that another request is deleting."""
    expired = select(_rows.api_key_id, _rows.idempotency_key).where(_expired).limit(DELETE_BATCH)
    chosen = expired.with_for_update(skip_locked=True).cte("chosen")
    connection.execute(
        delete(idempotency_keys).where(
            _rows.api_key_id == chosen.c.api_key_id, _rows.idempotency_key == chosen.c.idempotency_key
        )
    )


async def _idempotent_request(
    request: Request, store: Store, client: KeyId, key: IdempotencyKey = None
) -> IdempotentRequest:
    fingerprint = b""
    if key is not None:
        content = f"{request.method} {request.url.path}\n".encode() + await request.body()
        fingerprint = hashlib.sha256(content).digest()
    return IdempotentRequest(store, request.url.path, client=client, key=key, fingerprint=fingerprint)


Idempotent = Annotated[IdempotentRequest, Depends(_idempotent_request)]
