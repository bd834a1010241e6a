"""Defines the query parameters and response bodies of sends."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from crud_api.base_schema import ResponseBody
from crud_api.paging import AFTER, SORT, Paging, cursor_pattern
from sequence_store.domain.states import SendStatus

WAITING: Literal["waiting"] = "waiting"


class Send(ResponseBody):
    """One step of one enrolment: planned, in progress, finished, or due and waiting for a slot."""

    sequence_id: UUID
    contact_id: UUID
    step_id: UUID | None
    step_number: int | None
    round: int
    mailbox_id: UUID | None = Field(
        description="The mailbox that sends it; null for a first mail that is waiting"
    )
    status: SendStatus | Literal["waiting"]
    reason: str | None = Field(description="The reason for the status, or the reason why it waits")
    due_day: date | None
    plan_day: date = Field(description="The planning day on which it was planned or deferred")
    send_day: date | None = None
    send_at: datetime | None = Field(None, description="The planned time")
    not_after: datetime | None = None
    attempt: int | None = None
    dispatched_at: datetime | None = None
    transmitting_at: datetime | None = None
    finished_at: datetime | None = None
    smtp_code: int | None = None
    enhanced_code: str | None = None
    smtp_reply: str | None = None


FURTHEST_PAGE = 100


class SendQuery(Paging):
    """Query parameters of a history."""

    page: int = Field(
        0,
        ge=0,
        le=FURTHEST_PAGE,
        description="Number of the page, from 0; use `after` for pages beyond the maximum",
    )
    waiting: bool | None = Field(
        None,
        description="true: only steps that wait for a slot; false: only steps that have one, also if their "
        "send is held back at the moment",
    )


class ContactSendQuery(SendQuery):
    """Query parameters of the history of a contact."""

    after: str | None = Field(None, pattern=cursor_pattern(5), description=AFTER)
    sort: Literal["sendAt", "-sendAt"] = Field("sendAt", description=SORT)


class SequenceSendQuery(SendQuery):
    """Query parameters of the history of a sequence."""

    after: str | None = Field(None, pattern=cursor_pattern(4), description=AFTER)
    contact_id: UUID | None = Field(None, alias="contactId", description="Only sends to this contact")
