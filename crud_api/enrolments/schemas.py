"""Defines the request and response bodies of enrolments."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from crud_api.base_schema import EXAMPLE_ID, Query, RequestBody, ResponseBody, example
from crud_api.fields import Id
from crud_api.listed_ids import ListedIds
from crud_api.paging import Paging
from sequence_store.domain.states import EnrolmentStatus

MOST_CONTACTS = 50_000


class ContactIds(RequestBody):
    """A list of contacts."""

    model_config = example({"contactIds": [EXAMPLE_ID]})

    contact_ids: Annotated[list[Id], Field(min_length=1, max_length=MOST_CONTACTS)]


class ContactIdsQuery(Query):
    """The same list in the query of a DELETE."""

    contact_ids: ListedIds = Field([], alias="contactIds")


class Refusal(ResponseBody):
    """A contact that was not enrolled."""

    contact_id: UUID
    message: str = Field(examples=["is already in the sequence"])


class EnrolmentReport(ResponseBody):
    """The result of a request to enrol contacts."""

    enrolled: int
    refused: list[Refusal]


class EnrolmentChange(RequestBody):
    """The new status of an enrolment."""

    model_config = example({"status": "paused"})

    status: Literal["paused", "active", "replied"]


class Enrolment(ResponseBody):
    """A contact in a sequence."""

    contact_id: UUID
    status: EnrolmentStatus
    status_reason: str | None
    round: int = Field(description="How many times the contact has been enrolled in this sequence")
    current_step: int = Field(
        description="The next step is the one with the lowest stepNumber that is at least this number"
    )
    next_send: date | None = Field(
        description="Date from which the next step is due: of the first step a planning day, of a later one "
        "a date of the mailbox that sent the last mail"
    )
    last_send: date | None = Field(
        description="Date of the last mail: the day on which its send window opened, in the mailbox's zone"
    )
    mailbox_id: UUID | None = Field(
        description="The mailbox that sent the first mail; it also sends the follow-ups"
    )


class ContactEnrolment(ResponseBody):
    """A sequence in which a contact is or was. All dates are planning days."""

    sequence_id: UUID
    sequence_name: str
    status: EnrolmentStatus
    status_reason: str | None
    round: int = Field(description="How many times the contact has been enrolled in this sequence")
    current_step: int = Field(
        description="The next step is the one with the lowest stepNumber that is at least this number"
    )
    next_send: date | None
    last_send: date | None
    mailbox_id: UUID | None = Field(
        description="The mailbox that sent the first mail; it also sends the follow-ups"
    )


class ContactEnrolmentQuery(Paging):
    """Query parameters of the list of the sequences of a contact."""

    status: EnrolmentStatus | None = Field(
        None, description="Only enrolments with this status; by default, all, including removed ones"
    )


class EnrolmentQuery(Paging):
    """Query parameters of the list of the contacts of a sequence."""

    status: EnrolmentStatus | None = Field(
        None, description="Only enrolments with this status; by default, all except removed ones"
    )
