"""What all bodies have in common: camelCase names, matched without regard to case, and nothing unknown."""

from __future__ import annotations

from functools import cache
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel

from crud_api.json_body import NotJson
from crud_api.tables import AnyRow

# The default of a PATCH's field: it is not read, `changes` returns only what the client sent.
UNSENT: Any = None

EXAMPLE_ID = "0d5c9d3e-6f1b-4c8e-9a53-2f1c1f7e8a10"


@cache
def _names(model: type[BaseModel]) -> dict[str, str]:
    """Map each field's name in lower case to the name that the model takes."""
    names = (field.alias or name for name, field in model.model_fields.items())
    return {name.lower(): name for name in names}


class Body(BaseModel):
    """A body that a client sends. Types are not guessed: "5" is no number."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", strict=True, hide_input_in_errors=True
    )

    @model_validator(mode="before")
    @classmethod
    def _match_names_without_case(cls, body: Any) -> Any:
        if isinstance(body, NotJson):
            raise ValueError(f"is not JSON: {body.why}")  # noqa: TRY004 - Pydantic takes it for a refusal
        if not isinstance(body, dict):
            return body
        known = _names(cls)
        return {known.get(name.lower(), name): value for name, value in body.items()}


def _without_defaults(schema: dict[str, Any]) -> None:
    for field in schema["properties"].values():
        field.pop("default", None)


def example(body: dict[str, Any]) -> ConfigDict:
    """Document a body by an example."""
    return ConfigDict(json_schema_extra={"examples": [body]})


def example_of_changes(body: dict[str, Any]) -> ConfigDict:
    """Document a PATCH's body by an example; its fields have no defaults that a client could see."""

    def document(schema: dict[str, Any]) -> None:
        _without_defaults(schema)
        schema["examples"] = [body]

    return ConfigDict(json_schema_extra=document)


class Changes(Body):
    """The body of a PATCH: what is absent stays as it is; null is taken where the value may be absent."""

    def changes(self) -> dict[str, Any]:
        """Return what the client sent, by field name."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class Answer(BaseModel):
    """A body that the API sends."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    @classmethod
    def of(cls, row: AnyRow) -> Self:
        """Make it of a row whose columns have its fields' names, among others."""
        return cls.model_validate(row._asdict(), by_alias=False, by_name=True)
