"""Converts exceptions to `{"message": …}` responses. A message names the field and never contains input."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.exceptions import HTTPException

MOST_FAULTS = 5
LONGEST_NAME = 60

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
}


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


def describe(fault: dict[str, Any]) -> str:
    """Format a Pydantic error, for example as `steps[0].mailContent: is required`."""
    message = str(fault["msg"]).removeprefix("Value error, ")
    phrase = _PHRASES.get(fault["type"], message[:1].lower() + message[1:])
    return f"{_field_path(fault['loc'])}: {phrase}"


def _field_path(location: Sequence[str | int]) -> str:
    """Return the path of the field, or `body` or the like if the error is not in a field."""
    source, *names = location
    path = ""
    for name in names:
        path += f"[{name}]" if isinstance(name, int) else f".{name[:LONGEST_NAME]}"
    return path.removeprefix(".") or str(source)
