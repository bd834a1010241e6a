"""Loads the named statements of sql/*.sql: `-- name: verb_noun`, one line of why, the statement."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from sequence_store.errors import UnknownQueryError

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


@cache
def _statements(file: str) -> dict[str, bytes]:
    text = (files("sequence_store.postgres") / "sql" / f"{file}.sql").read_text(encoding="utf-8")
    _, *parts = _NAME.split(text)
    return {name: body.strip().encode() for name, body in zip(parts[::2], parts[1::2], strict=True)}


def query(file: str, name: str) -> bytes:
    """Return the statement `name` of sql/`file`.sql, as bytes, which psycopg takes as trusted SQL."""
    try:
        return _statements(file)[name]
    except KeyError:
        raise UnknownQueryError(f"sql/{file}.sql has no query named {name!r}") from None
