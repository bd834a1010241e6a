"""Loads the named statements of sql/*.sql: a line `-- name: verb_noun`, a comment, the statement."""

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
    """Return the statement `name` of sql/`file`.sql, as bytes, which psycopg accepts as trusted SQL.

    Raise UnknownQueryError if there is none.
    """
    try:
        return _statements(file)[name]
    except KeyError:
        raise UnknownQueryError(f"sql/{file}.sql defines no query {name!r}") from None
