"""Creating things: a request that names an Idempotency-Key is carried out once, however often it comes.

The key is taken in the transaction that creates, so a second request waits for the first one, and is answered
what that was; where the first one fails, it has taken nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response
from sqlalchemy import Connection, and_, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from crud_api.answers import answer, written
from crud_api.database import Database
from crud_api.dependencies import KeyId, Store
from crud_api.errors import ConflictError
from crud_api.tables import AnyRow, idempotency_keys

REMEMBERED_FOR = timedelta(hours=24)
FORGOTTEN_AT_ONCE = 100
REPLAYED = {"Idempotency-Replayed": "true"}

_rows = idempotency_keys.c
_over = _rows.created < func.now() - REMEMBERED_FOR

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[!-~]{1,255}$",
        description="Any word of the client's: the same request with it is carried out once within 24 hours",
    ),
]


class Creation:
    """One creating request."""

    def __init__(
        self, store: Database, path: str, *, client: int, key: str | None, fingerprint: bytes
    ) -> None:
        self._store = store
        self._path = path
        self._row = {"api_key_id": client, "idempotency_key": key}
        self._key = key
        self._fingerprint = fingerprint

    def answer(self, create: Callable[[Connection], Any]) -> Response:
        """Answer 201 with what `create` returns, or with what it returned when the request came first."""
        with self._store.transaction() as connection:
            if self._key is None or self._is_first(connection):
                created = create(connection)
                content = written(created)
                created_id = getattr(created, "id", None)
                if self._key is not None:
                    connection.execute(self._mine().values(answer=content, created_id=created_id))
                location = {"Location": f"{self._path}/{created_id}"} if created_id else {}
                return answer(content, 201, headers=location)
            return self._again(connection)

    def _is_first(self, connection: Connection) -> bool:
        """Take the key; wait for a request that is just taking it."""
        _forget_old_ones(connection)
        taking = insert(idempotency_keys).values(**self._row, fingerprint=self._fingerprint)
        anew = taking.on_conflict_do_update(
            index_elements=["api_key_id", "idempotency_key"],
            set_={"fingerprint": self._fingerprint, "answer": None, "created": func.now()},
            where=_over,
        )
        return connection.execute(anew.returning(_rows.created)).first() is not None

    def _again(self, connection: Connection) -> Response:
        statement = select(_rows.fingerprint, _rows.answer, _rows.created_id).where(self._is_mine())
        first: AnyRow = connection.execute(statement).one()
        if first.fingerprint != self._fingerprint:
            raise ConflictError("Idempotency-Key: was used for another request")
        if first.answer is None:
            raise ConflictError(
                "Idempotency-Key: what the request created has another address since; read it"
            )
        location = {"Location": f"{self._path}/{first.created_id}"} if first.created_id else {}
        return answer(first.answer, 201, headers=location | REPLAYED)

    def _is_mine(self) -> Any:
        return and_(*(_rows[name] == value for name, value in self._row.items()))

    def _mine(self) -> Any:
        return update(idempotency_keys).where(self._is_mine())


def _forget_old_ones(connection: Connection) -> None:
    """Delete some answers that nobody may ask for any more; those that another request is deleting are its."""
    old = select(_rows.api_key_id, _rows.idempotency_key).where(_over).limit(FORGOTTEN_AT_ONCE)
    chosen = old.with_for_update(skip_locked=True).cte("chosen")
    connection.execute(
        delete(idempotency_keys).where(
            _rows.api_key_id == chosen.c.api_key_id, _rows.idempotency_key == chosen.c.idempotency_key
        )
    )


async def _creation(request: Request, store: Store, client: KeyId, key: IdempotencyKey = None) -> Creation:
    fingerprint = b""
    if key is not None:
        asked = f"{request.method} {request.url.path}\n".encode() + await request.body()
        fingerprint = hashlib.sha256(asked).digest()
    return Creation(store, request.url.path, client=client, key=key, fingerprint=fingerprint)


Once = Annotated[Creation, Depends(_creation)]
