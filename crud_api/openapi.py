"""Defines the general texts of the OpenAPI document, and adds scopes, errors and headers to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import Field

from crud_api.base_schema import ResponseBody

TITLE = "Sequence API"

DESCRIPTION = """
A sequence is a series of mails. Contacts are enrolled in sequences, and mailboxes send the mails. Use this
API to manage sequences, contacts and mailboxes, and to list past and planned sends.

**Conventions.** Request bodies are JSON, whatever the `Content-Type` is. Field names are case-insensitive;
unknown fields are rejected. `PATCH` changes only the fields that it contains; `null` clears an optional
field.

**Lists** are JSON arrays, in pages of `size` items (default 50, at most 100). To get the next page, increase
`page` (it starts at 0), or set `after` to the `X-Next-Cursor` of the previous page, which is equally fast at
any position. `sort` sets the order; the prefix `-` reverses it. `X-Total-Count` is present if the list has at
most 10,000 items. Every response has an `X-Request-Id`.

**API keys.** Send `Authorization: Bearer <key>`. Create a key with `sequences keys create`. A browser that
opens the URL of a resource asks for it: enter the key as password, with any user name. Each operation
names the scopes that it requires. A request without a valid key gets 401, without a scope 403, and above the
rate limit 429; `Retry-After` then says how many seconds to wait.

**Idempotency.** A creating request with an `Idempotency-Key` is executed once: if it is repeated within 24
hours, it returns the first response.

**Concurrent changes.** A response with one resource has an `ETag`. To change or delete the resource only if
it is unchanged, send the `ETag` as `If-Match`; if the resource has changed, the request gets 412. A GET with
the `ETag` as `If-None-Match` gets 304 without a body if the resource is unchanged. HEAD works like GET,
without the body.

**Errors** are `{"message": "…"}`. With 400 the message names the invalid field, with 404 the unknown id, and
with 409 the conflict. After 503 the same request may succeed; retry it later.
"""

TAGS = [
    {"name": "sequences", "description": "A series of mails, with its limits and its priority."},
    {
        "name": "steps",
        "description": "One mail of a sequence, and its delay in days after the previous step.",
    },
    {
        "name": "mailboxes",
        "description": "A sender address, with its daily limit, send window and mail server.",
    },
    {"name": "contacts", "description": "A person who receives mails."},
    {"name": "assignments", "description": "The mailboxes that send a sequence."},
    {"name": "enrolments", "description": "The contacts of a sequence, with their progress."},
    {"name": "sends", "description": "Past and planned sends, and the reason if a due contact has to wait."},
    {"name": "events", "description": "The feed: what happened, in one order that never changes."},
    {"name": "webhooks", "description": "Receivers of the feed over https, with signed messages."},
    {"name": "stats", "description": "Counts and rates of what came of the mails."},
    {
        "name": "suppressions",
        "description": "Addresses that must not be mailed, even if a contact is deleted or added again.",
    },
    {
        "name": "imports",
        "description": "Imported files, with their progress and the outcome of their rows.",
    },
    {"name": "health", "description": "Liveness, readiness and metrics."},
]


class ErrorAnswer(ResponseBody):
    """An error."""

    message: str = Field(examples=["steps[0].mailContent: is required"])
    request_id: str | None = Field(None, description="With status 500: the id to report", examples=["4f1c…"])


_MEANINGS = {
    400: "The request is invalid; the message names the field",
    401: "The API key is missing or invalid",
    403: "The API key lacks the required scope",
    404: "No resource has this id",
    409: "The request conflicts with existing data",
    410: "The events after this position were removed because of their age",
    412: "The resource has changed: its ETag is not in If-Match",
    413: "The request body is too large",
    429: "The API key exceeds its rate limit; wait for the seconds in Retry-After",
    500: "An internal error; the message contains the request id",
    503: "The database is unreachable, busy or too slow; retry later",
}
_EVERYWHERE = (400, 500, 503)
_WITH_KEY = (401, 403, 429)


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Document the errors of a route that requires an API key: `statuses`, and those of every such route."""
    return open_error_responses(*_WITH_KEY, *statuses)


def open_error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Document the errors of a route that requires no API key."""
    documented: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorAnswer, "description": _MEANINGS[status]}
        for status in sorted({*_EVERYWHERE, *statuses})
    }
    return {**documented, "default": {"model": ErrorAnswer, "description": "Any other error"}}


_EVERY_RESPONSE = {"X-Request-Id": "The id of the request: the one that the client sent, if it is valid"}
_OF_A_LIST = {
    "X-Total-Count": "Number of items in the whole list; absent above 10,000",
    "X-Next-Cursor": "Value of `after` for the next page; absent on the last page",
}
_OF_ONE = {"ETag": "Version of the resource, for `If-Match`"}
_OF_STATUS = {
    "201": {
        "Location": "Path of the created resource",
        "Idempotency-Replayed": "`true` if this is the stored response of an earlier request",
    },
    "401": {"WWW-Authenticate": "`Bearer`; `Basic` if a browser opens the URL of a resource"},
    "429": {"Retry-After": "Seconds to wait before the next request"},
}


def extend_document(
    app: FastAPI,
    scopes_of: Callable[[str, list[str], str, list[str]], Sequence[str]],
    also_required: Mapping[str, Mapping[str, str]],
) -> None:
    """Add the scopes of each operation and the headers of each response to the OpenAPI document of `app`.

    The scopes that a query parameter requires (`also_required`, by operation) are in its description.
    """
    generate = app.openapi
    extended: dict[str, Any] | None = None

    def document() -> dict[str, Any]:
        nonlocal extended
        generated = generate()
        if generated is extended:  # FastAPI keeps the document
            return generated
        extended = generated
        for operations in generated["paths"].values():
            for method, operation in operations.items():
                if "security" in operation:
                    name = operation["operationId"]
                    scopes = scopes_of(name, operation["tags"], method.upper(), [])
                    operation["security"] = [{"key": list(scopes)}]
                    _describe_scopes(operation, also_required.get(name, {}))
                for status, response in operation["responses"].items():
                    response["headers"] = _headers(operation, status, response)
        return generated

    app.openapi = document  # type: ignore[method-assign]  # FastAPI documents this as the way to extend it


def _describe_scopes(operation: dict[str, Any], also_required: Mapping[str, str]) -> None:
    for parameter in operation.get("parameters", ()):
        if scope := also_required.get(parameter["name"]):
            described = parameter.get("description", "").removesuffix(".")
            parameter["description"] = f"{described}. Requires the scope {scope}".removeprefix(". ")


def _headers(operation: dict[str, Any], status: str, response: dict[str, Any]) -> dict[str, Any]:
    texts = _EVERY_RESPONSE | _OF_STATUS.get(status, {})
    schema = response.get("content", {}).get("application/json", {}).get("schema", {})
    if status in {"200", "201"} and "security" in operation:
        is_list = any(parameter["name"] == "after" for parameter in operation.get("parameters", ()))
        texts |= (_OF_ONE if "$ref" in schema else {}) | (_OF_A_LIST if is_list else {})
    return {name: {"description": text, "schema": {"type": "string"}} for name, text in texts.items()}


def operation_id(route: APIRoute) -> str:
    return route.name
