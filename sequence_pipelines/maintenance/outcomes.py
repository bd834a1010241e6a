"""Reads what came of the mails, for the reports of the Dagster UI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import psycopg

from sequence_store.domain.rates import KEYS
from sequence_store.postgres.queries import query

CHOSEN = "sequence_name"  # a name that people chose


def read_numbers(
    connection: psycopg.Connection[Any], name: str, parameters: Mapping[str, Any]
) -> dict[str, int | float]:
    """Return the only row of a query of sql/outcomes.sql by column."""
    cursor = connection.execute(query("outcomes", name), dict(parameters))
    names = [column.name for column in cursor.description or ()]
    return dict(zip(names, cursor.fetchone() or (), strict=True))


def read_frame(
    connection: psycopg.Connection[Any],
    name: str,
    parameters: Mapping[str, Any],
    *,
    file: str = "outcomes",
) -> pd.DataFrame:
    """Return the rows of a query, without names and the ids of the database."""
    cursor = connection.execute(query(file, name), dict(parameters))
    names = [column.name for column in cursor.description or ()]
    frame = pd.DataFrame(cursor.fetchall(), columns=names)
    return frame.drop(columns=[one for one in names if one == CHOSEN or one.startswith(KEYS)])
