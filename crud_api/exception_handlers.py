"""Turns what went wrong into `{"message": …}`; the message names the field and repeats no input."""

from __future__ import annotations

from collections.abc import Sequence
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


def answer_errors(app: FastAPI) -> None:
    """Answer every refusal of `app` in the API's one form."""
    app.add_exception_handler(RequestValidationError, _invalid_input)
    app.add_exception_handler(HTTPException, _refused)


async def _invalid_input(_request: Request, error: Exception) -> JSONResponse:
    faults = error.errors() if isinstance(error, RequestValidationError) else []
    message = "; ".join(describe(fault) for fault in faults[:MOST_FAULTS])
    return JSONResponse({"message": message}, status_code=400)


async def _refused(request: Request, error: Exception) -> JSONResponse:
    refused = error if isinstance(error, HTTPException) else HTTPException(500)
    headers = {"Allow": ", ".join(_allowed(request))} if refused.status_code == 405 else refused.headers  # noqa: PLR2004
    return JSONResponse({"message": refused.detail}, refused.status_code, headers)


def _allowed(request: Request) -> list[str]:
    """Return all methods of a path; the router names those of the first route that has it."""
    path = request.url.path
    contexts = iter_route_contexts(request.app.routes)
    matching = [
        one for one in contexts if isinstance(one.original_route, APIRoute) and one.path_regex.match(path)
    ]
    return sorted({method for context in matching for method in context.methods or ()})


def describe(fault: dict[str, Any]) -> str:
    """Return one fault as `steps[0].mailContent: is required`."""
    message = str(fault["msg"]).removeprefix("Value error, ")
    phrase = _PHRASES.get(fault["type"], message[:1].lower() + message[1:])
    return f"{_place(fault['loc'])}: {phrase}"


def _place(location: Sequence[str | int]) -> str:
    """Name the field; the body itself where the fault is in no field of it."""
    _where, *names = location
    place = ""
    for name in names:
        place += f"[{name}]" if isinstance(name, int) else f".{name[:LONGEST_NAME]}"
    return place.removeprefix(".") or str(_where)
