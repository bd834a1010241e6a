"""Columns of a million rows between Postgres and numpy, without a Python object a row.

Out: each result row is a group, its columns a bigint or an `array_agg` of bigint (measured against COPY, which
psycopg hands over row by row, in docs/performance.md). In: binary COPY, chunk by chunk, so that the server works
while the next chunk is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import psycopg
from psycopg.adapt import Buffer, Loader
from psycopg.copy import QueuedLibpqWriter
from psycopg.pq import Format

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
POSTGRES_EPOCH_DAYS = 10_957  # 2000-01-01, counted from 1970-01-01
POSTGRES_EPOCH_SECONDS = POSTGRES_EPOCH_DAYS * 86_400
CHUNK = 1 << 14  # rows of a COPY made at once

_WIRE = {"int2": ">i2", "int4": ">i4", "int8": ">i8", "date": ">i4", "timestamptz": ">i8"}
_ARRAY_HEADER = 20  # dimensions, nulls, element type, length, lower bound
_ELEMENT = np.dtype([("length", ">i4"), ("value", ">i8")])


class _ArrayBytes(Loader):
    """Leaves a bigint[] as the bytes of its elements."""

    format = Format.BINARY

    def load(self, data: Buffer) -> bytes:
        return bytes(memoryview(data)[_ARRAY_HEADER:])


def read_arrays(
    connection: psycopg.Connection[Any], statement: bytes, parameters: dict[str, Any]
) -> list[np.ndarray]:
    """Return the columns of a grouped query as int64 arrays, a group's own values repeated, by the first column.

    Each result column is a bigint, one a group, or a bigint[] without nulls; all arrays of a row have one length.
    """
    with connection.cursor(binary=True) as cursor:
        cursor.adapters.register_loader(cursor.adapters.types["int8"].array_oid, _ArrayBytes)
        cursor.execute(statement, parameters)
        rows = sorted(cursor.fetchall(), key=itemgetter(0))
        if not rows:
            return [np.empty(0, dtype=np.int64) for _ in cursor.description or ()]
    groups = list(zip(*rows, strict=True))
    sizes = next([len(a) // _ELEMENT.itemsize for a in g] for g in groups if isinstance(g[0], bytes))
    return [_flat(group, sizes) for group in groups]


def _flat(group: Sequence[Any], sizes: list[int]) -> np.ndarray:
    if isinstance(group[0], bytes):
        return np.frombuffer(b"".join(group), dtype=_ELEMENT)["value"].astype(np.int64)
    return np.repeat(np.array(group, dtype=np.int64), sizes)


def write_columns(
    connection: psycopg.Connection[Any],
    statement: bytes,
    columns: Sequence[np.ndarray],
    types: Sequence[str],
    order: np.ndarray | None = None,
) -> int:
    """Run a `COPY … FROM STDIN (FORMAT binary)` with all rows, or those of `order` in that order; return how many.

    Dates come as epoch days, timestamptz as epoch seconds.
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
