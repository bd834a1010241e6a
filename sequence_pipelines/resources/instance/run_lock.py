"""Locks a run for as long as its process executes it, so that other programs can see that the process lives.

The lock is an advisory lock of a session in Dagster's database. Postgres releases it when the process ends,
however it ends, and within half a minute when its machine vanishes. No program has to report that it lives.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import psycopg
from dagster import DagsterInstance, DagsterRunStatus

from sequence_store.postgres.connection import KEEPALIVES, plain_url

if TYPE_CHECKING:
    from collections.abc import Callable

BEAT_SECONDS = 5.0  # between two looks at the session and at the run's status
PATIENCE_SECONDS = 10.0  # until the interrupt of a run that is over, and from there until the kill
ENDED = {DagsterRunStatus.CANCELING, DagsterRunStatus.CANCELED, DagsterRunStatus.FAILURE}
# The server notices a vanished client; its default is two hours.
_SERVER_KEEPALIVES = "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"
_LOCK = "SELECT pg_try_advisory_lock_shared(hashtextextended('run ' || %s, 0))"
_IS_LOCKED = """
SELECT EXISTS (
    SELECT FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (classid::bigint << 32 | objid::bigint) = hashtextextended('run ' || %s, 0)
)"""

logger = logging.getLogger(__name__)


def lock_url(instance: DagsterInstance) -> str | None:
    """Return the URL of Dagster's database, or None if the instance is not on Postgres."""
    url: str | None = getattr(instance.run_storage, "postgres_url", None)
    return url and plain_url(url)


def is_locked(url: str, run_id: str) -> bool:
    """Return whether a process executes the run; raise psycopg.Error if the database does not respond."""
    with _connect(url) as connection:
        row = connection.execute(_IS_LOCKED, [run_id]).fetchone()
    return bool(row and row[0])


def _signal_self(number: int) -> None:
    os.kill(os.getpid(), number)


def _connect(url: str) -> psycopg.Connection[Any]:
    return psycopg.connect(
        url,
        autocommit=True,
        application_name="sequence_pipelines run",
        connect_timeout=10,
        options=_SERVER_KEEPALIVES,
        **KEEPALIVES,
    )


class RunLock:
    """Holds the lock of a run in a `with` block; a thread renews a lost session.

    The thread also ends the process if the run must not go on: a person or Dagster's run monitoring ended it,
    and the request did not reach the process, or the code server that started it was killed, so that the run
    will be retried. It interrupts the run first, which rolls back its transactions, and kills the process if
    that takes longer than PATIENCE_SECONDS.
    """

    def __init__(
        self,
        instance: DagsterInstance,
        run_id: str,
        *,
        beat: float = BEAT_SECONDS,
        patience: float = PATIENCE_SECONDS,
        send: Callable[[int], None] = _signal_self,
    ) -> None:
        self._instance = instance
        self._run_id = run_id
        self._url = lock_url(instance)
        self._beat, self._patience = beat, patience
        self._send = send
        self._parent = os.getppid()
        self._over_since: float | None = None
        self._interrupted = False
        self._connection: psycopg.Connection[Any] | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="run-lock", daemon=True)

    def __enter__(self) -> Self:
        if self._url is not None:
            self._renew()
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._done.set()
        if self._thread.is_alive():
            self._thread.join(self._beat)
        if self._connection is not None:
            self._connection.close()

    def _keep(self) -> None:
        while not self._done.wait(self._beat):
            self._renew()
            if self._is_over():
                self._end()
            else:
                self._over_since, self._interrupted = None, False

    def _renew(self) -> None:
        """Lock the run in a new session if there is none; a database that does not respond is tried again."""
        try:
            if self._connection is None:
                self._connection = _connect(self._url or "")
                self._connection.execute(_LOCK, [self._run_id])
            else:
                self._connection.execute("SELECT 1")
        except psycopg.Error as error:
            logger.warning("The lock of run %s is lost and will be renewed: %s", self._run_id, error)
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def _is_over(self) -> bool:
        if os.getppid() != self._parent:
            return True
        try:
            run = self._instance.get_run_by_id(self._run_id)
        except Exception:  # noqa: BLE001 (Dagster's database does not respond: look again at the next beat)
            return False
        return run is None or run.status in ENDED

    def _end(self) -> None:
        now = time.monotonic()
        if self._over_since is None:
            self._over_since = now
        elif now - self._over_since >= self._patience:
            self._over_since = now
            self._send(signal.SIGKILL if self._interrupted else signal.SIGINT)
            self._interrupted = True
