"""Defines a program of the stack: its command, its readiness check, how to stop it."""

from __future__ import annotations

import http.client
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from local_stack.ports import LOOPBACK, answers

BIN = Path(sys.executable).parent  # the scripts of this environment


def _nothing() -> None:
    pass


def _never(_failure: str) -> bool:
    return False


def at_once() -> bool:
    """Readiness check: ready as soon as the process runs."""
    return True


@dataclass(frozen=True)
class Program:
    """One program; with `once` it is a step that ends by itself and is ready when it exits with status 0."""

    name: str
    command: Sequence[str]
    ready: Callable[[], bool] = at_once
    address: str = ""
    prepare: Callable[[], None] = _nothing  # before each start
    on_ready: Callable[[], None] = _nothing  # after each start, once it is ready
    is_transient: Callable[[str], bool] = _never  # whether to retry a start that failed with this message
    once: bool = False
    user: str | None = None
    stop_signal: int = signal.SIGTERM
    stop_seconds: float = 10
    start_seconds: float = 60


Stages = Sequence[Sequence[Program]]


class HasRunFor:
    """Readiness check for a program without a port: it has run for some seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since = time.monotonic()

    def begin(self) -> None:
        self._since = time.monotonic()

    def __call__(self) -> bool:
        return time.monotonic() - self._since >= self._seconds


def listens(port: int) -> Callable[[], bool]:
    """Return a readiness check: a server accepts connections on the port."""
    return lambda: answers(port)


def serves(port: int, path: str) -> Callable[[], bool]:
    """Return a readiness check: a GET of the path returns 200."""
    return lambda: status(port, path) == http.HTTPStatus.OK


def status(port: int, path: str) -> int:
    """Return the status of a GET on loopback, or 0 if there is no response."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
    with suppress(OSError, http.client.HTTPException):
        connection.request("GET", path)
        found = connection.getresponse().status
        connection.close()
        return found
    connection.close()
    return 0
