"""Postgres's binary COPY format to and from numpy: rows of fixed-width columns without nulls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import psycopg

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
POSTGRES_EPOCH_DAYS = 10_957  # 2000-01-01, counted from 1970-01-01
POSTGRES_EPOCH_SECONDS = POSTGRES_EPOCH_DAYS * 86_400

_WIRE = {"int2": ">i2", "int4": ">i4", "int8": ">i8", "date": ">i4", "timestamptz": ">i8"}


def _row_type(types: Sequence[str]) -> np.dtype[Any]:
    fields: list[tuple[str, str]] = [("columns", ">i2")]
    for n, kind in enumerate(types):
        fields += [(f"length{n}", ">i4"), (f"value{n}", _WIRE[kind])]
    return np.dtype(fields)


def read_columns(
    connection: psycopg.Connection[Any], statement: bytes, parameters: dict[str, Any], types: Sequence[str]
) -> list[np.ndarray]:
    """Run a `COPY (…) TO STDOUT (FORMAT binary)` and return its columns as int64 arrays."""
    with connection.cursor() as cursor, cursor.copy(statement, parameters) as copy:
        data = b"".join(copy)
    rows = np.frombuffer(
        data, dtype=_row_type(types), offset=len(HEADER), count=-1 if not data else _count(data, types)
    )
    return [rows[f"value{n}"].astype(np.int64) for n in range(len(types))]


def _count(data: bytes, types: Sequence[str]) -> int:
    return (len(data) - len(HEADER) - len(TRAILER)) // _row_type(types).itemsize


def write_columns(
    connection: psycopg.Connection[Any], statement: bytes, columns: Sequence[np.ndarray], types: Sequence[str]
) -> None:
    """Run a `COPY … FROM STDIN (FORMAT binary)`; dates come as epoch days, timestamptz as epoch seconds."""
    row_type = _row_type(types)
    rows = np.empty(len(columns[0]), dtype=row_type)
    rows["columns"] = len(types)
    for n, (values, kind) in enumerate(zip(columns, types, strict=True)):
        rows[f"length{n}"] = row_type[f"value{n}"].itemsize
        rows[f"value{n}"] = _to_wire(values, kind)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(HEADER)
        copy.write(rows.tobytes())
        copy.write(TRAILER)


def _to_wire(values: np.ndarray, kind: str) -> np.ndarray:
    if kind == "date":
        return values - POSTGRES_EPOCH_DAYS
    if kind == "timestamptz":
        return (values - POSTGRES_EPOCH_SECONDS) * 1_000_000
    return values
