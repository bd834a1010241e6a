"""Reads a list of ids from the body of a DELETE or from its query.

Many HTTP clients and proxies drop the body of a DELETE.
"""

from __future__ import annotations

from typing import Annotated, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import Field, ValidationError, WithJsonSchema

from crud_api.base_schema import RequestBody

_UUID = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_IDS = {"type": "string", "pattern": f"^{_UUID}(,{_UUID})*$"}  # for the document; the model checks each id

ListedIds = Annotated[
    list[Annotated[str, WithJsonSchema(_IDS)]],
    Field(
        max_length=1000,  # so many fit into a URL
        description="The same list as in the body, for clients that send no body with DELETE: repeat the "
        "parameter, or separate the ids by commas",
    ),
]
List = TypeVar("List", bound=RequestBody)


def in_body_or_query(body: List | None, listed: list[str], kind: type[List], name: str) -> List:
    """Return the list `name` from the body, the query or both; raise an error if it is in neither."""
    if body is not None and not listed:
        return body
    first = [str(one) for one in body.model_dump(by_alias=True)[name]] if body is not None else []
    ids = [one for part in listed for one in part.split(",")]
    given = {name: list(dict.fromkeys([*first, *ids]))} if ids else {}
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        raise RequestValidationError(
            [{**fault, "loc": ("query", *fault["loc"])} for fault in faults]
        ) from None
