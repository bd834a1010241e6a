"""Sequences, as they are sent and received."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, field_validator

from crud_api.base_schema import UNSENT, Answer, Body, Changes, example, example_of_changes
from crud_api.fields import AnyInt, Count, Line, SearchText
from crud_api.paging import Paging
from crud_api.steps.schemas import EXAMPLE as STEP_EXAMPLE
from crud_api.steps.schemas import Step, StepCreate

MOST_STEPS = 1000

MaxNewPerDay = Annotated[Count | None, Field(description="First mails a day; null for no bound")]
Priority = Annotated[AnyInt, Field(description="The larger goes first where there is not room for all")]
IsActive = Annotated[bool, Field(description="An inactive sequence sends nothing")]


class SequenceCreate(Body):
    """A new sequence with its steps."""

    model_config = example({"name": "Welcome", "steps": [STEP_EXAMPLE]})

    name: Line
    open_tracking_enabled: bool = False
    click_tracking_enabled: bool = False
    is_active: IsActive = True
    max_new_per_day: MaxNewPerDay = None
    priority: Priority = 0
    steps: list[StepCreate] = Field(
        min_length=1,
        max_length=MOST_STEPS,
        description="Their stepNumbers differ",
        json_schema_extra={"uniqueItems": True},
    )

    @field_validator("steps")
    @classmethod
    def _numbers_are_unique(cls, steps: list[StepCreate]) -> list[StepCreate]:
        if len({step.step_number for step in steps}) < len(steps):
            raise ValueError("two steps have the same stepNumber")
        return steps


class SequenceChanges(Changes):
    """What is to change of a sequence; its steps have routes of their own."""

    model_config = example_of_changes({"openTrackingEnabled": True})

    name: Line = UNSENT
    open_tracking_enabled: bool = UNSENT
    click_tracking_enabled: bool = UNSENT
    is_active: IsActive = UNSENT
    max_new_per_day: MaxNewPerDay = UNSENT
    priority: Priority = UNSENT


class Sequence(Answer):
    """A series of mails."""

    id: UUID
    name: str
    open_tracking_enabled: bool
    click_tracking_enabled: bool
    is_active: bool
    max_new_per_day: int | None
    priority: int
    created_at: datetime
    last_updated_at: datetime | None
    steps: list[Step]


class SequenceQuery(Paging):
    """The query of the list of sequences."""

    name: SearchText | None = Field(None, description="Exactly this name")
    is_active: bool | None = Field(None, alias="isActive")
    sort: Literal["createdAt", "-createdAt", "name", "-name"] = Field(
        "createdAt", description="In this order; with - the other way"
    )
