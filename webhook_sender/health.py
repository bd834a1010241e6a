"""Tells /healthz and /readyz the state of the webhook sender."""

from __future__ import annotations

import time

TURN_SECONDS = 600.0  # a turn after a long stop gives positions to many events


class SenderHealth:
    """The time of the sender's last turn, and whether it reached the database."""

    def __init__(self) -> None:
        self._last_turn = time.monotonic()
        self._reached_database = False

    def note_turn(self, *, reached_database: bool) -> None:
        """Note the end of a turn, of an attempt to connect, or of a wait for the other sender."""
        self._last_turn = time.monotonic()
        self._reached_database = reached_database

    def is_alive(self) -> bool:
        return time.monotonic() - self._last_turn < TURN_SECONDS

    def parts(self) -> dict[str, bool]:
        return {"database": self._reached_database}
