"""What all bodies have in common: camelCase names, matched without regard to case, and nothing unknown."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel

# The default of a PATCH's field: it is not read, `changes` returns only what the client sent.
UNSENT: Any = None


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
        if not isinstance(body, dict):
            return body
        known = _names(cls)
        return {known.get(name.lower(), name): value for name, value in body.items()}


def _without_defaults(schema: dict[str, Any]) -> None:
    for field in schema["properties"].values():
        field.pop("default", None)


class Changes(Body):
    """The body of a PATCH: what is absent stays as it is; null is taken where the value may be absent."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)

    def changes(self) -> dict[str, Any]:
        """Return what the client sent, by field name."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class Answer(BaseModel):
    """A body that the API sends."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, from_attributes=True)
