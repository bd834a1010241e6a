"""The API's connections: one request is one transaction, and a database's refusal becomes an answer."""

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

TAKEN = {
    "sequences_name_key": "name: another sequence has it",
    "steps_number_key": "stepNumber: another step of the sequence has it",
    "mailboxes_address_key": "address: another mailbox has it",
    "contacts_mail_address_key": "mailAddress: another contact has it",
}

# The first that fits answers: the later kinds are the earlier ones' parents.
REFUSALS: tuple[tuple[tuple[type[psycopg.Error], ...], type[ApiError], str], ...] = (
    (
        (pg.ForeignKeyViolation,),
        ConflictError,
        "Something that this refers to has just gone. Read it again.",
    ),
    (
        (pg.QueryCanceled,),
        UnavailableError,
        "The database took too long. Ask for less, or try again later.",
    ),
    (
        (pg.DeadlockDetected, pg.SerializationFailure, pg.LockNotAvailable),
        UnavailableError,
        "Another change was in the way. Try again.",
    ),
    ((pg.CheckViolation, psycopg.DataError), InvalidInputError, "A value is out of range."),
    (
        (psycopg.OperationalError, psycopg.InterfaceError),
        UnavailableError,
        "The database cannot be reached. Try again in a moment.",
    ),
)


class Database:
    """A pool of at most `api_database_connections`; it connects when it is first used."""

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
            hide_parameters=True,  # an error's text may reach a log, and parameters are addresses
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
        """Commit what the request did when it ends well; raise an ApiError for what the database refuses."""
        with _answers(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Read without a transaction: each statement sees what is committed when it starts."""
        with _answers(), self._reading.connect() as connection:
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
    """Run a statement of sequence_store/postgres/sql, where the expression language would say it less clearly."""
    return connection.exec_driver_sql(query(file, name).decode(), dict(values or {}))


def copying(connection: Connection) -> psycopg.Cursor[tuple[Any, ...]]:
    """Return a cursor of the driver's, in the connection's transaction, for COPY."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)  # noqa: S101
    return driver.cursor()


@contextmanager
def _answers() -> Iterator[None]:
    try:
        yield
    except PoolTimeoutError:
        raise UnavailableError("All database connections are in use. Try again in a moment.") from None
    except DBAPIError as error:
        if answer := _answer_to(error.orig):
            raise answer from None
        raise
    except psycopg.Error as error:  # of COPY, which SQLAlchemy does not know
        if answer := _answer_to(error):
            raise answer from None
        raise


def _answer_to(error: BaseException | None) -> ApiError | None:
    if isinstance(error, pg.UniqueViolation):
        return ConflictError(TAKEN.get(error.diag.constraint_name or "", "It exists already."))
    return next((answer(message) for kinds, answer, message in REFUSALS if isinstance(error, kinds)), None)
