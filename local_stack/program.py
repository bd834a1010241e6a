"""A program of the stack: how to start it, when it is ready, how to stop it."""

from __future__ import annotations

import http.client
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from local_stack.ports import LOOPBACK, answers


def _nothing() -> None:
    pass


def _never(_failure: str) -> bool:
    return False


def at_once() -> bool:
    """Be ready as soon as the process runs."""
    return True


@dataclass(frozen=True)
class Program:
    """One program; `once` marks a step that ends by itself, whose good end is its readiness."""

    name: str
    command: Sequence[str]
    ready: Callable[[], bool] = at_once
    address: str = ""
    prepare: Callable[[], None] = _nothing  # before each start
    settle: Callable[[], None] = _nothing  # after each start, once it is ready
    passes: Callable[[str], bool] = _never  # whether this failure to start will go away in seconds
    once: bool = False
    user: str | None = None
    stop_signal: int = signal.SIGTERM
    stop_seconds: float = 10
    start_seconds: float = 60


Stages = Sequence[Sequence[Program]]


class Steady:
    """A readiness check for a program that answers nobody: it has run for some seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since = time.monotonic()

    def begin(self) -> None:
        self._since = time.monotonic()

    def __call__(self) -> bool:
        return time.monotonic() - self._since >= self._seconds


def listens(port: int) -> Callable[[], bool]:
    """Make a readiness check: somebody accepts connections on the port."""
    return lambda: answers(port)


def serves(port: int, path: str) -> Callable[[], bool]:
    """Make a readiness check: a GET of the path is answered with 200."""
    return lambda: status(port, path) == http.HTTPStatus.OK


def status(port: int, path: str) -> int:
    """Return the status of a GET on loopback, 0 where nobody answers."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
    with suppress(OSError, http.client.HTTPException):
        connection.request("GET", path)
        found = connection.getresponse().status
        connection.close()
        return found
    connection.close()
    return 0
