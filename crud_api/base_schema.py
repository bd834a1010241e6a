"""Defines the base classes of request and response bodies.

Field names are camelCase. Requests match them case-insensitively and may not contain unknown fields.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel

from crud_api.json_body import NotJson
from crud_api.tables import AnyRow

# Default of each field of a PATCH body. It is never used: `changes` returns only the fields that were sent.
UNSENT: Any = None

EXAMPLE_ID = "0d5c9d3e-6f1b-4c8e-9a53-2f1c1f7e8a10"


@cache
def _names(model: type[BaseModel]) -> dict[str, str]:
    """Map each field name in lower case to the name that the model accepts."""
    names = (field.alias or name for name, field in model.model_fields.items())
    return {name.lower(): name for name in names}


class RequestBody(BaseModel):
    """A request body. Types are strict: the string "5" is not accepted as a number."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", strict=True, hide_input_in_errors=True
    )

    @model_validator(mode="before")
    @classmethod
    def _match_names_without_case(cls, body: Any) -> Any:
        if isinstance(body, NotJson):
            # Pydantic reports only a ValueError as a validation error.
            raise ValueError(f"is not JSON: {body.reason}")  # noqa: TRY004
        if not isinstance(body, dict):
            return body
        known = _names(cls)
        return {known.get(name.lower(), name): value for name, value in body.items()}


def example(body: dict[str, Any]) -> ConfigDict:
    """Return a model configuration that adds an example to the OpenAPI document.

    Defaults are in the descriptions only: generators of clients make a field with `default` a required one.
    """

    def document(schema: dict[str, Any]) -> None:
        for field in schema["properties"].values():
            if "default" in field:
                default = json.dumps(field.pop("default"))
                described = field.get("description", "").removesuffix(".")
                field["description"] = f"{described}. Default: {default}".removeprefix(". ")
        schema["examples"] = [body]

    return ConfigDict(json_schema_extra=document)


def example_of_changes(body: dict[str, Any]) -> ConfigDict:
    """Do the same for a PATCH body, whose fields have no default: absent ones stay unchanged."""

    def document(schema: dict[str, Any]) -> None:
        for field in schema["properties"].values():
            field.pop("default", None)
        schema["examples"] = [body]

    return ConfigDict(json_schema_extra=document)


class PatchBody(RequestBody):
    """The body of a PATCH request. Absent fields stay unchanged; null clears a field that is optional."""

    def changes(self) -> dict[str, Any]:
        """Return the fields that the client sent, by field name."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class Query(BaseModel):
    """Query parameters of a route; unknown names are rejected."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class ResponseBody(BaseModel):
    """A response body."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    @classmethod
    def of(cls, row: AnyRow, **values: Any) -> Self:
        """Create the model from the columns of a row that its fields name; `values` take precedence."""
        return cls.model_validate(row._asdict() | values, by_alias=False, by_name=True)
