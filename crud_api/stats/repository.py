"""Reads the roll-ups."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import Connection

from crud_api.database import run
from crud_api.stats.schemas import By
from sequence_store.domain.rates import MOST_ROWS


def read(connection: Connection, by: By, sequence: int | None, first: date, last: date) -> Sequence[Any]:
    values = {"sequence": sequence, "from": first, "to": last, "most": MOST_ROWS}
    return run(connection, "stats", f"by_{by}", values).all()
