"""Manages database connections, and translates database errors to API errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any

import psycopg
from psycopg import errors as pg
from sqlalchemy import Connection, CursorResult, QueuePool, create_engine, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from crud_api.errors import ApiError, ConflictError, InvalidInputError, UnavailableError
from sequence_store.postgres.connection import KEEPALIVES, plain_url
from sequence_store.postgres.queries import query
from sequence_store.settings import ApiSettings

STATEMENT_TIMEOUT_MS = 5_000
IDLE_TIMEOUT_MS = 10_000
WAIT_FOR_CONNECTION_SECONDS = 5
CANCEL_SECONDS = 5
COPY_TIMEOUT_MS = 1_800_000
BLOCK = 64 * 1024

UNIQUE_MESSAGES = {
    "steps_number_key": "stepNumber: is already used by another step of this sequence",
    "mailboxes_address_key": "address: is already used by another mailbox",
    "contacts_mail_address_key": "mailAddress: is already used by another contact",
}

# The first match applies: later entries list base classes of earlier ones, so the order matters.
API_ERRORS: tuple[tuple[tuple[type[psycopg.Error], ...], type[ApiError], str], ...] = (
    (
        (pg.ForeignKeyViolation,),
        ConflictError,
        "A record that this request refers to was deleted in the meantime. Read it again.",
    ),
    (
        (pg.QueryCanceled,),
        UnavailableError,
        "The database query took too long. Request less data, or try again later.",
    ),
    (
        (pg.DeadlockDetected, pg.SerializationFailure, pg.LockNotAvailable),
        UnavailableError,
        "The request conflicted with a concurrent change. Try again.",
    ),
    ((pg.CheckViolation, psycopg.DataError), InvalidInputError, "A value is out of range."),
    (
        (psycopg.OperationalError, psycopg.InterfaceError),
        UnavailableError,
        "The database cannot be reached. Try again in a moment.",
    ),
)


class Database:
    """A pool of at most `api_database_connections` connections, opened when they are first needed."""

    def __init__(self, settings: ApiSettings) -> None:
        options = {
            "timezone": "UTC",
            "statement_timeout": STATEMENT_TIMEOUT_MS,
            "idle_in_transaction_session_timeout": IDLE_TIMEOUT_MS,
        }
        self._engine = create_engine(
            make_url(plain_url(settings.api_database_url)).set(drivername="postgresql+psycopg"),
            pool_size=settings.api_database_connections,
            max_overflow=0,
            pool_timeout=WAIT_FOR_CONNECTION_SECONDS,
            hide_parameters=True,  # error texts may be logged, and parameters contain mail addresses
            connect_args={
                "application_name": "sequence_api",
                "connect_timeout": WAIT_FOR_CONNECTION_SECONDS,
                "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
                **KEEPALIVES,
            },
        )
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Open a transaction; commit it on success, roll it back on an error.

        Raise ApiError if the database rejects a statement or is unavailable.
        """
        with _translated_errors(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a connection in autocommit mode: each statement sees the data committed when it starts.

        Raise ApiError if the database is unavailable.
        """
        with _translated_errors(), self._reading.connect() as connection:
            yield connection

    @property
    def pool(self) -> QueuePool:
        pool = self._engine.pool
        assert isinstance(pool, QueuePool)  # noqa: S101  (create_engine makes one)
        return pool

    def close(self) -> None:
        self._engine.dispose()


def run(
    connection: Connection, file: str, name: str, values: Mapping[str, object] | None = None
) -> CursorResult[Any]:
    """Run the statement `name` of `sequence_store/postgres/sql/<file>.sql`.

    The API keeps a statement there if SQL is clearer than SQLAlchemy's expression language.
    """
    return connection.exec_driver_sql(query(file, name).decode(), dict(values or {}))


class CopyOut:
    """The result of a COPY statement of `sequence_store/postgres/sql/<file>.sql`, which starts with `prefix`.

    One thread reads it from its start to its end; another one may cancel it at any time. A generator would
    not do: a client that breaks off leaves it to the garbage collector, where the rollback waits for the
    lock that the COPY holds.
    """

    def __init__(
        self, database: Database, file: str, name: str, values: Mapping[str, object], *, prefix: bytes = b""
    ) -> None:
        self._database = database
        self._statement = query(file, name)
        self._values = values
        self._prefix = prefix
        self._lock = Lock()
        self._cancelled = False
        self._running: psycopg.Connection[Any] | None = None

    def read(self, put: Callable[[bytes], object]) -> None:
        """Pass the result to `put`, in blocks of about 64 KiB; at least one block, which may be empty.

        Raise ApiError if the database is unavailable, and whatever `put` raises.
        """
        with self._database.transaction() as connection:
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {COPY_TIMEOUT_MS}")
            block = bytearray(self._prefix)
            with (
                self._cancellable(connection),
                copy_cursor(connection) as cursor,
                cursor.copy(self._statement, self._values) as copy,
            ):
                for data in copy:
                    block += data
                    if len(block) >= BLOCK:
                        put(bytes(block))
                        block.clear()
            put(bytes(block))

    def cancel(self) -> None:
        """End the statement; `read` then raises an error. If it has ended already, do nothing."""
        with self._lock:
            self._cancelled = True
            if self._running is not None:
                with suppress(psycopg.Error):
                    self._running.cancel_safe(timeout=CANCEL_SECONDS)

    @contextmanager
    def _cancellable(self, connection: Connection) -> Iterator[None]:
        """Let `cancel` reach the connection only as long as it runs this statement, and no other one."""
        with self._lock:
            if self._cancelled:
                raise UnavailableError("The download was cancelled.")
            self._running = _driver_connection(connection)
        try:
            yield
        finally:
            with self._lock:
                self._running = None


def copy_cursor(connection: Connection) -> psycopg.Cursor[tuple[Any, ...]]:
    """Return a psycopg cursor in the connection's transaction, for COPY."""
    return _driver_connection(connection).cursor()


def _driver_connection(connection: Connection) -> psycopg.Connection[Any]:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)  # noqa: S101
    return driver


@contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except PoolTimeoutError:
        raise UnavailableError("All database connections are in use. Try again in a moment.") from None
    except DBAPIError as error:
        if api_error := _api_error_of(error.orig):
            raise api_error from None
        raise
    except psycopg.Error as error:  # from COPY, which bypasses SQLAlchemy
        if api_error := _api_error_of(error):
            raise api_error from None
        raise


def _api_error_of(error: BaseException | None) -> ApiError | None:
    if isinstance(error, pg.UniqueViolation):
        return ConflictError(
            UNIQUE_MESSAGES.get(error.diag.constraint_name or "", "The record already exists.")
        )
    return next(
        (to_raise(message) for kinds, to_raise, message in API_ERRORS if isinstance(error, kinds)), None
    )
