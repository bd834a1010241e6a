"""Defines the request and response bodies of sequences."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, field_validator

from crud_api.base_schema import UNSENT, PatchBody, RequestBody, ResponseBody, example, example_of_changes
from crud_api.fields import AnyInt, Count, Line, SearchText
from crud_api.paging import SORT, Paging
from crud_api.steps.schemas import EXAMPLE as STEP_EXAMPLE
from crud_api.steps.schemas import Step, StepCreate
from sequence_store.domain.states import ReplyStops

MOST_STEPS = 1000

MaxNewPerDay = Annotated[Count | None, Field(description="First mails per day; null for no limit")]
Priority = Annotated[
    AnyInt,
    Field(
        description="If capacity is short, sequences with a higher priority are planned first; "
        "sequences of one priority get equal shares of the first mails"
    ),
]
StopsOnReply = Annotated[
    Literal["sequence", "contact", "company"],
    Field(
        description="Whom a reply stops: `sequence` stops this sequence for the contact, and no reply to "
        "another sequence stops it; `contact` stops the contact in all such sequences; `company` stops all "
        "contacts with an address of the same domain too"
    ),
]
IsActive = Annotated[bool, Field(description="An inactive sequence sends no mails")]


class SequenceCreate(RequestBody):
    """A new sequence with its steps."""

    model_config = example({"name": "Welcome", "steps": [STEP_EXAMPLE]})

    name: Annotated[Line, Field(description="Two sequences may have the same name")]
    open_tracking_enabled: bool = False
    click_tracking_enabled: bool = False
    is_active: IsActive = True
    max_new_per_day: MaxNewPerDay = None
    priority: Priority = 0
    reply_stops: StopsOnReply = "contact"
    steps: list[StepCreate] = Field(
        min_length=1,
        max_length=MOST_STEPS,
        description="Each step has a different stepNumber",
        json_schema_extra={"uniqueItems": True},
    )

    @field_validator("steps")
    @classmethod
    def _numbers_are_unique(cls, steps: list[StepCreate]) -> list[StepCreate]:
        if len({step.step_number for step in steps}) < len(steps):
            raise ValueError("must not contain two steps with the same stepNumber")
        return steps


class SequenceChanges(PatchBody):
    """The fields of a sequence to change. Steps are changed through their own routes."""

    model_config = example_of_changes({"openTrackingEnabled": True})

    name: Line = UNSENT
    open_tracking_enabled: bool = UNSENT
    click_tracking_enabled: bool = UNSENT
    is_active: IsActive = UNSENT
    max_new_per_day: MaxNewPerDay = UNSENT
    priority: Priority = UNSENT
    reply_stops: StopsOnReply = UNSENT


class Sequence(ResponseBody):
    """A series of mails."""

    id: UUID
    name: str
    open_tracking_enabled: bool
    click_tracking_enabled: bool
    is_active: bool
    max_new_per_day: int | None
    priority: int
    reply_stops: ReplyStops
    created_at: datetime
    last_updated_at: datetime | None
    steps: list[Step]


class SequenceQuery(Paging):
    """Query parameters of the list of sequences."""

    name: SearchText | None = Field(None, description="Only sequences with this name")
    is_active: bool | None = Field(None, alias="isActive")
    sort: Literal["createdAt", "-createdAt", "name", "-name"] = Field("createdAt", description=SORT)
