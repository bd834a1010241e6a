"""What /docs and the OpenAPI document say about the API as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import Field

from crud_api.base_schema import Answer

TITLE = "Sequence API"

DESCRIPTION = """
Sequences are series of mails; contacts are enrolled in them, and mailboxes send them. Enter all three here, and
look up what was and will be sent.

**Conventions.** Bodies are JSON whatever `Content-Type` says; field names are matched without regard to case and
unknown ones are refused. `PATCH` changes what it names; `null` empties a field that may be empty. Lists are
arrays in pages of `size` (50, at most 100): take the next one by `page` (from 0), or, at the same cost however
long the list is, by `after` with the `X-Next-Cursor` of the page before; `sort` names the order, `-` before it turns it round.
`X-Total-Count` is there where the list has at most 10,000 items. Every answer carries an `X-Request-Id`.

**Keys.** `Authorization: Bearer <key>`; `sequences keys create` makes one. Each operation names the scope that it
needs. Without a key the answer is 401, without the scope 403, and 429 says in `Retry-After` when to ask again.

**Once, and of what you saw.** A creating request with an `Idempotency-Key` is carried out once within 24 hours,
however often it is sent; a repetition is answered like the first. What is shown by itself has an `ETag`; a change or
a deletion that sends it back in `If-Match` is refused with 412 where somebody else was faster.

**Errors** are `{"message": "…"}`: 400 names the field at fault, 404 the id that nothing has, 409 what forbids the
change; 503 means that the same request may succeed in a moment.
"""

TAGS = [
    {"name": "sequences", "description": "A series of mails and how it is paced."},
    {
        "name": "steps",
        "description": "One mail of a sequence, and how many days after the one before it is due.",
    },
    {"name": "mailboxes", "description": "Who sends: the daily limit, the send window, the server."},
    {"name": "contacts", "description": "Who is mailed."},
    {"name": "assignments", "description": "Which mailboxes send a sequence."},
    {"name": "enrolments", "description": "Which contacts are in a sequence, and how far they are."},
    {"name": "sends", "description": "What was and will be sent, and why a due contact waits."},
    {
        "name": "suppressions",
        "description": "Which addresses must not be mailed again, whatever happens to their contacts.",
    },
    {
        "name": "imports",
        "description": "Files that were sent, how far they are, and what became of their rows.",
    },
    {"name": "health", "description": "For probes."},
]


class ErrorAnswer(Answer):
    """Any answer other than success."""

    message: str = Field(examples=["steps[0].mailContent: is required"])
    request_id: str | None = Field(None, description="With status 500: what to tell us", examples=["4f1c…"])


_MEANINGS = {
    400: "The input is invalid; the message names the field",
    401: "No key, or none that is valid",
    403: "The key lacks the scope that this needs",
    404: "Nothing has this id",
    409: "What is there already forbids it",
    412: "It is no longer as If-Match says",
    413: "The body is too large",
    429: "The key asks too often; Retry-After says in how many seconds to try again",
    500: "Something failed on our side; the message holds the request's id",
    503: "The database is away, busy or too slow; try again in a moment",
}
_EVERYWHERE = (400, 500, 503)
_WITH_KEY = (401, 403, 429)


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Document the errors of a route that needs a key: those of every such route, and `statuses`."""
    return open_answers(*_WITH_KEY, *statuses)


def open_answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Document the errors of a route that needs no key."""
    documented: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorAnswer, "description": _MEANINGS[status]}
        for status in sorted({*_EVERYWHERE, *statuses})
    }
    return {**documented, "default": {"model": ErrorAnswer, "description": "Any other error"}}


_ALWAYS = {"X-Request-Id": "The request's id: the client's own where it sent a plain word"}
_OF_A_LIST = {
    "X-Total-Count": "Items of the whole list, where it has at most 10,000",
    "X-Next-Cursor": "What `after` takes to go on; absent at the end",
}
_OF_ONE = {"ETag": "What `If-Match` takes"}
_OF_STATUS = {
    "201": {
        "Location": "Where the created thing is",
        "Idempotency-Replayed": "`true` where the request had come before",
    },
    "401": {"WWW-Authenticate": "`Bearer`"},
    "429": {"Retry-After": "Seconds"},
}


def complete(app: FastAPI, scope_of: Callable[[list[str], str], str]) -> None:
    """Add to the document that `app` generates each operation's scope and the headers of its answers."""
    generate = app.openapi

    def document() -> dict[str, Any]:
        generated = generate()
        for operations in generated["paths"].values():
            for method, operation in operations.items():
                if "security" in operation:
                    operation["security"] = [{"key": [scope_of(operation["tags"], method.upper())]}]
                for status, response in operation["responses"].items():
                    response["headers"] = _headers(operation, status, response)
        return generated

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's way to change its document


def _headers(operation: dict[str, Any], status: str, response: dict[str, Any]) -> dict[str, Any]:
    texts = _ALWAYS | _OF_STATUS.get(status, {})
    schema = response.get("content", {}).get("application/json", {}).get("schema", {})
    if status in {"200", "201"} and "security" in operation:
        is_list = any(parameter["name"] == "after" for parameter in operation.get("parameters", ()))
        texts |= (_OF_ONE if "$ref" in schema else {}) | (_OF_A_LIST if is_list else {})
    return {name: {"description": text, "schema": {"type": "string"}} for name, text in texts.items()}


def operation_id(route: APIRoute) -> str:
    return route.name
