"""Builds JSON responses with an ETag, and checks the If-Match header of changes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import Depends, Header, Response
from pydantic_core import to_json

from crud_api.base_schema import ResponseBody
from crud_api.errors import PreconditionFailedError


def to_json_bytes(content: Any) -> bytes:
    """Return a ResponseBody, or a list of them, as JSON with the API's field names."""
    return to_json(content, by_alias=True)


def entity_tag(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def json_response(content: bytes, status: int = 200, *, headers: Mapping[str, str] | None = None) -> Response:
    """Return `content`, which is JSON, as a response with its ETag."""
    return Response(
        content, status, {"ETag": entity_tag(content), **(headers or {})}, media_type="application/json"
    )


def model_response(model: ResponseBody) -> Response:
    return json_response(to_json_bytes(model))


class IfMatchCondition:
    """The If-Match header of a request: the change applies only to the version that the client has read."""

    def __init__(self, header: str | None) -> None:
        self._tags = None if header is None else {tag.strip() for tag in header.split(",")}

    def require(self, read: Callable[[], ResponseBody]) -> None:
        """Raise PreconditionFailedError if the ETag of what `read` returns is not in the header.

        `read` must lock the row that it reads, so that the row cannot change after the comparison.
        """
        if self._tags is None:
            return
        current = entity_tag(to_json_bytes(read()))
        if not self._tags & {current, "*"}:
            raise PreconditionFailedError(
                "If-Match: the resource has changed since you read it. Read it again, then repeat the change."
            )


async def _if_match(
    if_match: Annotated[
        str | None,
        Header(alias="If-Match", description="The ETag of the resource, as the client last read it"),
    ] = None,
) -> IfMatchCondition:
    return IfMatchCondition(if_match)


IfMatch = Annotated[IfMatchCondition, Depends(_if_match)]
