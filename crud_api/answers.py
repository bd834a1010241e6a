"""A JSON answer with an ETag of what it shows, and the If-Match that a change may come with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import Depends, Header, Response
from pydantic_core import to_json

from crud_api.base_schema import Answer
from crud_api.errors import PreconditionFailedError


def written(shown: Any) -> bytes:
    """Return an Answer, or a list of them, as JSON."""
    return to_json(shown, by_alias=True)


def entity_tag(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def answer(content: bytes, status: int = 200, *, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        content, status, {"ETag": entity_tag(content), **(headers or {})}, media_type="application/json"
    )


def shown(one: Answer) -> Response:
    return answer(written(one))


class Match:
    """The If-Match of a request: what it changes must still be as the client saw it."""

    def __init__(self, header: str | None) -> None:
        self._tags = None if header is None else {tag.strip() for tag in header.split(",")}

    def require(self, read: Callable[[], Answer]) -> None:
        """Raise PreconditionFailedError where what `read` returns is not as it was; it locks what it reads."""
        if self._tags is None:
            return
        current = entity_tag(written(read()))
        if not self._tags & {current, "*"}:
            raise PreconditionFailedError("If-Match: it has changed since you read it. Read it again.")


async def _match(
    if_match: Annotated[
        str | None, Header(alias="If-Match", description="The ETag of what is to change, as it was read")
    ] = None,
) -> Match:
    return Match(if_match)


IfMatch = Annotated[Match, Depends(_match)]
