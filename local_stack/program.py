"""Defines a program of the stack: its command, its readiness check, how to stop it."""

from __future__ import annotations

import http.client
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from local_stack.ports import LOOPBACK, answers, listeners, owned_by
from local_stack.processes import session_of

BIN = Path(sys.executable).parent  # the scripts of this environment
ANSWER_SECONDS = 5  # timeout of a readiness check


def _nothing() -> None:
    pass


def _never(_failure: str) -> bool:
    return False


def at_once() -> bool:
    """Readiness check: ready as soon as the process runs."""
    return True


@dataclass(frozen=True)
class Program:
    """One program; with `once` it is a step that ends by itself and is ready when it exits with status 0.

    It is ready once the sockets that listen on its `ports` are its own and `ready` holds.
    """

    name: str
    command: Sequence[str]
    ports: Sequence[int] = ()
    ready: Callable[[], bool] = at_once
    address: str = ""
    prepare: Callable[[], None] = _nothing  # before each start
    on_ready: Callable[[], None] = _nothing  # after each start, once it is ready
    is_transient: Callable[[str], bool] = _never  # whether to retry a start that failed with this message
    once: bool = False
    user: str | None = None
    stop_signal: int = signal.SIGTERM
    stop_seconds: float = 10
    start_seconds: float = 120

    def owns_its_ports(self, pid: int) -> bool:
        """Return whether every port has a listener and all of them are of the process's session."""
        for port in self.ports:
            found = listeners(port)
            if found is None:
                continue
            if not found or not (owned_by(found, [pid]) or owned_by(found, list(session_of(pid)))):
                return False
        return True

    def foreign_port(self, pid: int) -> int | None:
        """Return the first port on which another program listens."""
        for port in self.ports:
            found = listeners(port)
            if found and not owned_by(found, list(session_of(pid))):
                return port
        return None


Stages = Sequence[Sequence[Program]]


class LogSays:
    """Readiness check for a program without a port: it has logged a text since it was launched."""

    def __init__(self, log: Path, text: str) -> None:
        self._log = log
        self._text = text.encode()
        self._begin = 0

    def begin(self) -> None:
        """Note the end of the log; call this before the launch."""
        self._begin = self._size()

    def __call__(self) -> bool:
        if self._size() < self._begin:
            self._begin = 0  # the launch began a new log
        with suppress(FileNotFoundError), self._log.open("rb") as log:
            log.seek(self._begin)
            return self._text in log.read()
        return False

    def _size(self) -> int:
        return self._log.stat().st_size if self._log.exists() else 0


def listens(port: int) -> Callable[[], bool]:
    """Return a readiness check: a server accepts connections on the port."""
    return lambda: answers(port)


def answers_ping(port: int) -> Callable[[], bool]:
    """Return a readiness check of Valkey: it answers a PING, which it does once its data is loaded."""

    def check() -> bool:
        with suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=ANSWER_SECONDS) as client:
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
        return False

    return check


def serves(port: int, path: str) -> Callable[[], bool]:
    """Return a readiness check: a GET of the path returns 200."""
    return lambda: status(port, path) == http.HTTPStatus.OK


def status(port: int, path: str) -> int:
    """Return the status of a GET on loopback, or 0 if there is no response."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=ANSWER_SECONDS)
    with suppress(OSError, http.client.HTTPException):
        connection.request("GET", path)
        found = connection.getresponse().status
        connection.close()
        return found
    connection.close()
    return 0
