"""Converts exceptions to `{"message": …}` responses. A message names the field and never contains input."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.exceptions import HTTPException

_DATE = "must be a date, such as 2026-03-10"
_INSTANT = "must be a time with its offset from UTC, such as 2026-03-10T09:00:00Z"
MOST_FAULTS = 5
LONGEST_NAME = 60
_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")

# What each type of Pydantic's errors means; {…} are values of its context. Its own messages speak of Python
# (`value should have at least 1 item after validation`).
_PHRASES = {
    "missing": "is required",
    "extra_forbidden": "is not a known name",
    "model_attributes_type": "must be a JSON object",
    "model_type": "must be a JSON object",
    "dict_type": "must be a JSON object",
    "list_type": "must be a list",
    "string_type": "must be a string",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "uuid_parsing": "must be a UUID",
    "uuid_type": "must be a UUID",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_parsing": "must be true or false",
    "date_type": _DATE,
    "date_parsing": _DATE,
    "date_from_datetime_parsing": _DATE,
    "date_from_datetime_inexact": _DATE,
    "datetime_type": _INSTANT,
    "datetime_parsing": _INSTANT,
    "datetime_from_date_parsing": _INSTANT,
    "datetime_object_invalid": _INSTANT,
    "timezone_aware": _INSTANT,
    "enum": "must be {expected}",
    "literal_error": "must be {expected}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} {unit}",
    "too_long": "must have at most {max_length} {unit}",
    "string_unicode": "must be valid Unicode text",
}
# What the pattern of a parameter means, by its name.
_PATTERN_PHRASES = {
    "after": "must be the X-Next-Cursor of a page of this list",
    "Idempotency-Key": "must have 1 to 255 visible ASCII characters and no space",
}
_OTHER = "is invalid"


def add_exception_handlers(app: FastAPI) -> None:
    """Register handlers that return every error of `app` in the API's error format."""
    app.add_exception_handler(RequestValidationError, _invalid_input)
    app.add_exception_handler(HTTPException, _http_error)


async def _invalid_input(_request: Request, error: Exception) -> JSONResponse:
    faults = error.errors() if isinstance(error, RequestValidationError) else []
    message = "; ".join(describe(fault) for fault in faults[:MOST_FAULTS])
    return JSONResponse({"message": message}, status_code=400)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    http_error = error if isinstance(error, HTTPException) else HTTPException(500)
    headers = http_error.headers
    if http_error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers = {"Allow": ", ".join(_allowed_methods(request))}
    return JSONResponse({"message": http_error.detail}, http_error.status_code, headers)


def _allowed_methods(request: Request) -> list[str]:
    """Return all methods of a path. The router itself names only those of the first matching route."""
    path = request.url.path
    contexts = iter_route_contexts(request.app.routes)
    matching = [
        one for one in contexts if isinstance(one.original_route, APIRoute) and one.path_regex.match(path)
    ]
    methods = {method for context in matching for method in context.methods or ()}
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()))


def describe(fault: Mapping[str, Any]) -> str:
    """Format a Pydantic error, for example as `steps[0].mailContent: is required`."""
    return f"{_field_path(fault)}: {_phrase(fault)}"


def _phrase(fault: Mapping[str, Any]) -> str:
    kind, context = fault["type"], defaultdict(str, fault.get("ctx") or {})
    if kind == "value_error":  # raised by our own code, in words of the API
        return str(fault["msg"]).removeprefix("Value error, ")
    if kind == "string_pattern_mismatch":
        return _PATTERN_PHRASES.get(str(fault["loc"][-1]), _OTHER)
    context["unit"] = "entries" if context["field_type"] == "List" else "characters"
    phrase = _PHRASES.get(kind, _OTHER).format_map(context)
    return phrase.replace(" 1 characters", " 1 character").replace(" 1 entries", " 1 entry")


def _field_path(fault: Mapping[str, Any]) -> str:
    """Return the path of the field, or `body` or the like if the error is not in a field.

    Pydantic's path also contains the names of validators, such as `function-after[_host_name(), str]`; only
    an unknown name, which the client chose, may look like one.
    """
    source, *names = fault["loc"]
    if fault["type"] != "extra_forbidden":
        names = [name for name in names if isinstance(name, int) or _FIELD.fullmatch(name)]
    path = ""
    for name in names:
        path += f"[{name}]" if isinstance(name, int) else f".{name[:LONGEST_NAME]}"
    return path.removeprefix(".") or str(source)
