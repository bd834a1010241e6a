"""Defines the query parameters and response bodies of the feed."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, field_validator

from crud_api.base_schema import Query, ResponseBody
from sequence_store.domain.feed_kinds import FEED_KINDS

DEFAULT_SIZE = 100
LARGEST_SIZE = 1_000
LARGEST_POSITION = 2**63 - 1

Kind = Annotated[str, Field(json_schema_extra={"enum": sorted(FEED_KINDS)})]


class Event(ResponseBody):
    """Something that happened. It names contacts by their id only; an erased contact has none."""

    position: int = Field(description="Its place in the feed; unique, and never changed")
    at: datetime = Field(description="When it happened")
    kind: str = Field(examples=sorted(FEED_KINDS))
    sequence_id: UUID | None
    contact_id: UUID | None
    step_id: UUID | None
    step_number: int | None
    mailbox_id: UUID | None
    round: int | None
    machine: bool | None = Field(
        description="Of `opened` and `clicked`: whether a program fetched the link, not a person"
    )
    detail: dict[str, Any] = Field(description="Codes and numbers that belong to the kind")


class EventQuery(Query):
    """Query parameters of the feed."""

    after: int = Field(
        0,
        ge=0,
        le=LARGEST_POSITION,
        description="The position after which to read: the X-Next-Cursor of the previous page; 0: from the "
        "oldest event that is kept",
    )
    kinds: list[Kind] | None = Field(
        None,
        min_length=1,
        max_length=100,
        description="Only these kinds, separated by commas or in several parameters",
    )
    size: int = Field(DEFAULT_SIZE, ge=1, le=LARGEST_SIZE, description="Events per page")

    @field_validator("kinds")
    @classmethod
    def _known(cls, value: list[str] | None) -> list[str] | None:
        return None if value is None else known_kinds([name for part in value for name in part.split(",")])


def known_kinds(names: list[str]) -> list[str]:
    """Return the kinds without spaces and repetitions; raise ValueError if one is unknown or none is left."""
    kinds = list(dict.fromkeys(name.strip() for name in names if name.strip()))
    if unknown := [kind for kind in kinds if kind not in FEED_KINDS]:
        raise ValueError(f"{unknown[0]!r} is no kind of event; the kinds are {', '.join(sorted(FEED_KINDS))}")
    if not kinds:
        raise ValueError(f"must name a kind of event: {', '.join(sorted(FEED_KINDS))}")
    return kinds
