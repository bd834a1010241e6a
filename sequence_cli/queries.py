"""The roof's own statements: sql/*.sql in the form of the store's (`-- name: verb_noun`, a line of why)."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


@cache
def statements(file: str) -> dict[str, bytes]:
    """Return the statements of sql/`file`.sql by name, as bytes, which psycopg takes as trusted SQL."""
    text = (files("sequence_cli") / "sql" / f"{file}.sql").read_text(encoding="utf-8")
    _, *parts = _NAME.split(text)
    return {name: body.strip().encode() for name, body in zip(parts[::2], parts[1::2], strict=True)}
