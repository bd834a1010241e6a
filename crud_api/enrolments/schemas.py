"""Enrolments, as they are sent and received."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from crud_api.base_schema import EXAMPLE_ID, Answer, Body, example
from crud_api.fields import Id
from crud_api.paging import Paging
from sequence_store.domain.states import EnrolmentStatus

MOST_CONTACTS = 50_000


class ContactIds(Body):
    """Some contacts."""

    model_config = example({"contactIds": [EXAMPLE_ID]})

    contact_ids: Annotated[list[Id], Field(min_length=1, max_length=MOST_CONTACTS)]


class Refusal(Answer):
    """A contact that was not enrolled."""

    contact_id: UUID
    message: str = Field(examples=["is in the sequence already"])


class EnrolmentReport(Answer):
    """What became of a request to enrol."""

    enrolled: int
    refused: list[Refusal]


class EnrolmentChange(Body):
    """The status that an enrolment is to have."""

    model_config = example({"status": "paused"})

    status: Literal["paused", "active", "replied"]


class Enrolment(Answer):
    """A contact in a sequence. The days are planning days."""

    contact_id: UUID
    status: EnrolmentStatus
    status_reason: str | None
    round: int = Field(description="How often the contact has been enrolled")
    current_step: int = Field(description="The lowest stepNumber at or above it is due next")
    next_send: date | None
    last_send: date | None
    mailbox_id: UUID | None = Field(description="The mailbox of the first mail; follow-ups stay with it")


class EnrolmentQuery(Paging):
    """The query of the list of a sequence's contacts."""

    status: EnrolmentStatus | None = Field(
        None, description="Only these; without it, all but those that were removed"
    )
