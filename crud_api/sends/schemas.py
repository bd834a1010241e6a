"""What was and will be sent, as it is shown."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from crud_api.base_schema import Answer
from crud_api.paging import NEXT_CURSOR, Paging, cursor_pattern
from sequence_store.domain.states import SendStatus

WAITING: Literal["waiting"] = "waiting"


class Send(Answer):
    """One step of one enrolment: planned, on its way, ended, or due and waiting for a place."""

    sequence_id: UUID
    contact_id: UUID
    step_id: UUID | None
    step_number: int | None
    round: int
    mailbox_id: UUID | None = Field(description="Who sends it; of a waiting first mail nobody yet")
    status: SendStatus | Literal["waiting"]
    reason: str | None = Field(description="Why it ended so, or why it waits")
    due_day: date | None
    plan_day: date = Field(description="The planning day in which it was planned, or found no place")
    send_day: date | None = None
    send_at: datetime | None = Field(None, description="Its minute, as planned")
    not_after: datetime | None = None
    attempt: int | None = None
    dispatched_at: datetime | None = None
    transmitting_at: datetime | None = None
    finished_at: datetime | None = None
    smtp_code: int | None = None
    enhanced_code: str | None = None
    smtp_reply: str | None = None


FURTHEST_PAGE = 100
AFTER = f"The {NEXT_CURSOR} of the page before; `page` then counts from there"


class SendQuery(Paging):
    """The query of a history."""

    page: int = Field(
        0, ge=0, le=FURTHEST_PAGE, description="Number of the page, from 0; farther in with after"
    )
    waiting: bool | None = Field(
        None, description="true: only who is due and waits for a place; false: only what has one"
    )


class ContactSendQuery(SendQuery):
    """The query of a contact's history."""

    after: str | None = Field(None, pattern=cursor_pattern(5), description=AFTER)
    sort: Literal["sendAt", "-sendAt"] = Field("sendAt", description="In this order; with - the latest first")


class SequenceSendQuery(SendQuery):
    """The query of a sequence's history."""

    after: str | None = Field(None, pattern=cursor_pattern(4), description=AFTER)
    contact_id: UUID | None = Field(None, alias="contactId", description="Only this contact's")
