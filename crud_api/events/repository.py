"""Reads the feed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg.errors import DeadlockDetected
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from crud_api.database import run
from sequence_store.feed import BATCH, HOLD_SECONDS


def give_positions(connection: Connection) -> None:
    """Give positions to the events that are committed, so that a reader finds what happened just now.

    If an erasure changes the same events at this moment, the next reader or program gives them.
    """
    try:
        run(connection, "feed", "sequence_events", {"most": BATCH, "hold_seconds": HOLD_SECONDS})
    except OperationalError as error:
        if not isinstance(error.orig, DeadlockDetected):
            raise


def read_state(connection: Connection) -> Any:
    """Return the last position, and the one up to which events may have been removed."""
    return run(connection, "feed", "read_state").one()


def read(
    connection: Connection, after: int, upto: int, kinds: Sequence[str] | None, most: int
) -> Sequence[Any]:
    values = {"after": after, "upto": upto, "kinds": None if kinds is None else list(kinds), "most": most}
    return run(connection, "feed", "read_events", values).all()
