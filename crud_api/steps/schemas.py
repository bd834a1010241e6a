"""Steps, as they are sent and received."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from crud_api.bodies import UNSENT, Answer, Body, Changes, example, example_of_changes
from crud_api.fields import Line, Number, Prose, Whole

LONGEST_DELAY_DAYS = 36_500

DelayDays = Annotated[
    int,
    Field(
        ge=0, le=LONGEST_DELAY_DAYS, description="Days after the step before; for the first, after enrolment"
    ),
    Whole,
]
StepNumber = Annotated[Number, Field(description="Its place; unique in the sequence, gaps are allowed")]
Subject = Annotated[Line | None, Field(description="A Liquid template; null continues the thread")]
Content = Annotated[Prose, Field(description="A Liquid template")]

EXAMPLE: dict[str, Any] = {
    "stepNumber": 1,
    "mailSubject": "Hello {{ contact.name }}",
    "mailContent": "Shall we talk?",
}


class StepCreate(Body):
    """A new step."""

    model_config = example(EXAMPLE)

    step_number: StepNumber
    mail_subject: Subject
    mail_content: Content
    delay_days: DelayDays = 0
    step_name: Line | None = None


class StepChanges(Changes):
    """What is to change of a step."""

    model_config = example_of_changes({"delayDays": 3})

    step_number: StepNumber = UNSENT
    mail_subject: Subject = UNSENT
    mail_content: Content = UNSENT
    delay_days: DelayDays = UNSENT
    step_name: Line | None = UNSENT


class Step(Answer):
    """One mail of a sequence."""

    id: UUID
    step_number: int
    step_name: str | None
    mail_subject: str | None
    mail_content: str
    delay_days: int
    created_at: datetime
    last_updated_at: datetime | None
