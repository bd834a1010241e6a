"""Defines the request and response bodies of steps."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, computed_field

from crud_api.base_schema import (
    UNSENT,
    PatchBody,
    Query,
    RequestBody,
    ResponseBody,
    example,
    example_of_changes,
)
from crud_api.fields import Line, Number, TemplateLine, TemplateProse, Whole
from sequence_store.domain.states import MailFormat
from sequence_store.mail.mail_format import resolved_format
from sequence_store.mail.templates import KNOWN

LONGEST_DELAY_DAYS = 36_500

DelayDays = Annotated[
    int,
    Field(
        ge=0,
        le=LONGEST_DELAY_DAYS,
        description="Days after the date of the previous mail, at least 1 (0 counts as 1); for the first "
        "step, days after enrolment, where 0 is the same day",
    ),
    Whole,
]
StepNumber = Annotated[
    Number, Field(description="Position of the step; unique in the sequence, gaps are allowed")
]
Subject = Annotated[
    TemplateLine | None,
    Field(description="A Liquid template; null for a reply in the thread of the earlier mails"),
]
Content = Annotated[TemplateProse, Field(description=f"A Liquid template. Available fields: {KNOWN}")]

Format = Annotated[
    Literal["auto", "text", "html"],
    Field(
        description="What mailContent is: text, html, or auto (HTML if it holds an element of it, else text)"
    ),
]

EXAMPLE: dict[str, Any] = {
    "stepNumber": 1,
    "mailSubject": "Hello {{ contact.name }}",
    "mailContent": "Shall we talk?",
}


class StepCreate(RequestBody):
    """A new step."""

    model_config = example(EXAMPLE)

    step_number: StepNumber
    mail_subject: Subject
    mail_content: Content
    mail_format: Format = "auto"
    delay_days: DelayDays = 0
    step_name: Line | None = None


class StepChanges(PatchBody):
    """The fields of a step to change."""

    model_config = example_of_changes({"delayDays": 3})

    step_number: StepNumber = UNSENT
    mail_subject: Subject = UNSENT
    mail_content: Content = UNSENT
    mail_format: Format = UNSENT
    delay_days: DelayDays = UNSENT
    step_name: Line | None = UNSENT


class Step(ResponseBody):
    """One mail of a sequence."""

    id: UUID
    step_number: int
    step_name: str | None
    mail_subject: str | None
    mail_content: str
    mail_format: Format
    delay_days: int
    created_at: datetime
    last_updated_at: datetime | None

    @computed_field(description="What mailContent is sent as: mailFormat, or what auto takes it for")
    def detected_format(self) -> Literal["text", "html"]:
        found = resolved_format(self.mail_format, self.mail_content)
        return "html" if found is MailFormat.HTML else "text"


class PreviewQuery(Query):
    """The contact and the mailbox for which a step is rendered."""

    contact_id: UUID = Field(alias="contactId")
    mailbox_id: UUID | None = Field(
        None,
        alias="mailboxId",
        description="By default, the mailbox of the contact's first mail, or the first one of the sequence",
    )


class Preview(ResponseBody):
    """A rendered mail that is not sent. Its unsubscribe link has no effect, and it is not tracked."""

    sender_name: str
    sender_address: str
    contact_name: str
    contact_address: str
    mail_subject: str
    mail_format: Literal["text", "html"] = Field(description="What the step was taken for")
    text: str
    html: str
    warnings: list[str] = Field(description="What may keep the mail from being read as it was written")
