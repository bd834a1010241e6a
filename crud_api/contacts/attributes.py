"""Defines the attributes of a contact: a JSON object that Postgres can store without loss."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from crud_api.fields import NO_NUL_PATTERN, without_nul

LARGEST_BYTES = 65_536
DEEPEST = 10
LARGEST_INT = 9 * 10**18  # fits in 64 bits, and a double represents it exactly


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
        case str():
            without_nul(value)
        case float() if not math.isfinite(value):
            raise ValueError("must not contain a number outside the range of a double")
        case int() if abs(value) > LARGEST_INT:
            raise ValueError("must not contain an integer beyond ±9e18; send it as a string")


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
        description="Any JSON object. Templates use it as contact.attributes.<name>. It must not contain the "
        "character NUL or an integer beyond ±9e18",
        examples=[{"company": "Acme"}],
        json_schema_extra=_with_names,
    ),
]
