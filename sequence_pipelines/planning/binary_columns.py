"""Moves columns of a million rows between Postgres and numpy without a Python object for each row.

Reading: each result row is a group, with the values of its rows in one bytea (compared with COPY, which
psycopg returns row by row, and with arrays in docs/performance.md). Writing: binary COPY in chunks, so that
the server works while the next chunk is built.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import psycopg
from psycopg.copy import QueuedLibpqWriter

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
POSTGRES_EPOCH_DAYS = 10_957  # 2000-01-01, counted from 1970-01-01
POSTGRES_EPOCH_SECONDS = POSTGRES_EPOCH_DAYS * 86_400
CHUNK = 1 << 14  # rows of a COPY built at once

_WIRE = {"int2": ">i2", "int4": ">i4", "int8": ">i8", "date": ">i4", "timestamptz": ">i8"}


def read_columns(
    connection: psycopg.Connection[Any], statement: bytes, parameters: dict[str, Any], names: Sequence[str]
) -> dict[str, np.ndarray]:
    """Return the columns of a grouped query under `names` as int64 arrays, ordered by the shared values.

    Each result row is a group: first the bigints that all its rows share, if any; last a bytea with the other
    values of its rows, one int8send after the other, row by row.
    """
    with connection.cursor(binary=True) as cursor:
        groups = sorted(cursor.execute(statement, parameters).fetchall(), key=itemgetter(slice(-1)))
        own = len(cursor.description or ()) - 1
    parts = len(names) - own
    sizes = [len(group[-1]) // (8 * parts) for group in groups]
    shared = np.array([group[:-1] for group in groups], dtype=np.int64).reshape(len(groups), own)
    rows = np.frombuffer(b"".join(group[-1] for group in groups), dtype=">i8").reshape(-1, parts)
    columns = [np.repeat(shared[:, n], sizes) for n in range(own)]
    columns += [rows[:, n].astype(np.int64) for n in range(parts)]
    return dict(zip(names, columns, strict=True))


def write_columns(
    connection: psycopg.Connection[Any],
    statement: bytes,
    columns: Sequence[np.ndarray],
    types: Sequence[str],
    order: np.ndarray | None = None,
) -> int:
    """Run a `COPY … FROM STDIN (FORMAT binary)` with all rows, or those at `order`; return how many.

    Dates are epoch days, timestamptz epoch seconds.
    """
    row_type = _row_type(types)
    rows = np.arange(len(columns[0])) if order is None else order
    with connection.cursor() as cursor:
        with cursor.copy(statement, writer=QueuedLibpqWriter(cursor)) as copy:
            copy.write(HEADER)
            for begin in range(0, len(rows), CHUNK):
                chunk = rows[begin : begin + CHUNK]
                copy.write(_rows([column[chunk] for column in columns], types, row_type))
            copy.write(TRAILER)
        return cursor.rowcount


def _row_type(types: Sequence[str]) -> np.dtype[Any]:
    fields: list[tuple[str, str]] = [("columns", ">i2")]
    for n, kind in enumerate(types):
        fields += [(f"length{n}", ">i4"), (f"value{n}", _WIRE[kind])]
    return np.dtype(fields)


def _rows(columns: Sequence[np.ndarray], types: Sequence[str], row_type: np.dtype[Any]) -> bytes:
    rows = np.empty(len(columns[0]), dtype=row_type)
    rows["columns"] = len(types)
    for n, (values, kind) in enumerate(zip(columns, types, strict=True)):
        rows[f"length{n}"] = row_type[f"value{n}"].itemsize
        rows[f"value{n}"] = _to_wire(values, kind)
    return rows.tobytes()


def _to_wire(values: np.ndarray, kind: str) -> np.ndarray:
    if kind == "date":
        return values - POSTGRES_EPOCH_DAYS
    if kind == "timestamptz":
        return (values - POSTGRES_EPOCH_SECONDS) * 1_000_000
    return values
