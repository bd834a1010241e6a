"""A contact's attributes: any JSON object that Postgres gives back as it was."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from crud_api.fields import NO_NUL_PATTERN

LARGEST_BYTES = 65_536
DEEPEST = 10
LARGEST_INT = 9 * 10**18  # of 64 bits, and the same number wherever it is written as 9e18


def _check(value: Any, depth: int = 0) -> None:
    if depth > DEEPEST:
        raise ValueError(f"must not nest deeper than {DEEPEST}")
    match value:
        case bool():
            return
        case dict():
            for name, item in value.items():
                _check(name)
                _check(item, depth + 1)
        case list():
            for item in value:
                _check(item, depth + 1)
        case str() if "\x00" in value:
            raise ValueError("must not contain the character NUL")
        case float() if not math.isfinite(value):
            raise ValueError("must not hold a number beyond a double's range")
        case int() if abs(value) > LARGEST_INT:
            raise ValueError("must not hold a whole number beyond 9e18; send it as a string")


def _storable(attributes: dict[str, Any]) -> dict[str, Any]:
    _check(attributes)
    if len(json.dumps(attributes)) > LARGEST_BYTES:
        raise ValueError(f"must not be larger than {LARGEST_BYTES} bytes")
    return attributes


def _with_names(schema: dict[str, Any]) -> None:
    schema["propertyNames"] = {"pattern": NO_NUL_PATTERN}


Attributes = Annotated[
    dict[str, Any],
    AfterValidator(_storable),
    Field(
        description="Any JSON; templates read it as contact.attributes.<name>. No character NUL, no whole number beyond 9e18",
        examples=[{"company": "Acme"}],
        json_schema_extra=_with_names,
    ),
]
