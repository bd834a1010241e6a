"""Manages database connections, and translates database errors to API errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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

UNIQUE_MESSAGES = {
    "sequences_name_key": "name: is already used by another sequence",
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


def copy_cursor(connection: Connection) -> psycopg.Cursor[tuple[Any, ...]]:
    """Return a psycopg cursor in the connection's transaction, for COPY."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)  # noqa: S101
    return driver.cursor()


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
