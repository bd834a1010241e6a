"""Steps, as they are sent and received."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from crud_api.base_schema import UNSENT, Answer, Body, Changes, example, example_of_changes
from crud_api.fields import Line, Number, TemplateLine, TemplateProse, Whole
from sequence_store.mail.templates import KNOWN

LONGEST_DELAY_DAYS = 36_500

DelayDays = Annotated[
    int,
    Field(
        ge=0, le=LONGEST_DELAY_DAYS, description="Days after the step before; for the first, after enrolment"
    ),
    Whole,
]
StepNumber = Annotated[Number, Field(description="Its place; unique in the sequence, gaps are allowed")]
Subject = Annotated[TemplateLine | None, Field(description="A Liquid template; null continues the thread")]
Content = Annotated[TemplateProse, Field(description=f"A Liquid template; it may name {KNOWN}")]

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


class PreviewQuery(BaseModel):
    """For whom a step is rendered, and from which mailbox."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    contact_id: UUID = Field(alias="contactId")
    mailbox_id: UUID | None = Field(
        None,
        alias="mailboxId",
        description="Without it, the mailbox of the contact's first mail, or the sequence's first",
    )


class Preview(Answer):
    """A mail that is not sent. Its link to unsubscribe unsubscribes nobody, and nothing in it is tracked."""

    sender_name: str
    sender_address: str
    contact_name: str
    contact_address: str
    mail_subject: str
    text: str
    html: str
