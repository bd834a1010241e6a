"""What /docs and the OpenAPI document say about the API as a whole."""

from __future__ import annotations

from typing import Any

from fastapi.routing import APIRoute
from pydantic import Field

from crud_api.bodies import Answer

TITLE = "Sequence API"

DESCRIPTION = """
Sequences are series of mails; contacts are enrolled in them, and mailboxes send them. Enter all three here, and
look up what was and will be sent.

**Conventions.** Bodies are JSON whatever `Content-Type` says; field names are matched without regard to case and
unknown ones are refused. `PATCH` changes what it names; `null` empties a field that may be empty. Lists are
arrays in pages of `size` (50, at most 100): take the next one by `page` (from 0), or, at the same cost however
long the list is, by `after` with the `X-Next-Cursor` of the page before. `X-Total-Count` is there where the list
has at most 10,000 items. Every answer carries an `X-Request-Id`.

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
    404: "Nothing has this id",
    409: "What is there already forbids it",
    413: "The body is too large",
    500: "Something failed on our side; the message holds the request's id",
    503: "The database is away, busy or too slow; try again in a moment",
}
_EVERYWHERE = (400, 500, 503)


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Document the errors that a route may answer: those of every route, and `statuses`."""
    documented: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorAnswer, "description": _MEANINGS[status]}
        for status in sorted({*_EVERYWHERE, *statuses})
    }
    return {**documented, "default": {"model": ErrorAnswer, "description": "Any other error"}}


def operation_id(route: APIRoute) -> str:
    return route.name
