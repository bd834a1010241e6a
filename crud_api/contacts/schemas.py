"""Defines the request and response bodies of contacts."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from crud_api.base_schema import UNSENT, PatchBody, RequestBody, ResponseBody, example, example_of_changes
from crud_api.contacts.attributes import Attributes
from crud_api.fields import Address, Day, Line, SearchAddress
from crud_api.paging import SORT, Paging
from sequence_store.domain.states import HoldReason

EXAMPLE: dict[str, Any] = {
    "name": "Grace Hopper",
    "mailAddress": "grace@example.com",
    "attributes": {"company": "Navy"},
}


class ContactCreate(RequestBody):
    """A new contact."""

    model_config = example(EXAMPLE)

    name: Line
    mail_address: Address
    is_active: bool = True
    attributes: Attributes = Field(default={})


class ContactChanges(PatchBody):
    """The fields of a contact to change; `attributes` are replaced as a whole."""

    model_config = example_of_changes({"isActive": False})

    name: Line = UNSENT
    mail_address: Address = UNSENT
    is_active: bool = UNSENT
    attributes: Attributes = UNSENT
    hold_until: Day | None = Field(
        default=UNSENT,
        description="Hold the contact: it gets no mail of this date or an earlier one; null ends it",
    )


class Contact(ResponseBody):
    """A person who receives mails."""

    id: UUID
    name: str
    mail_address: str = Field(description="In canonical form; an internationalised domain as xn--…")
    is_active: bool
    attributes: dict[str, Any]
    suppressed: bool = Field(description="Whether its address must not be mailed")
    suppression_reason: str | None = Field(
        description="Why, such as unsubscribed, hard_bounce or opted_out", examples=["unsubscribed"]
    )
    suppressed_at: datetime | None
    hold_until: date | None = Field(description="The contact gets no mail of this date or an earlier one")
    hold_reason: HoldReason | None = Field(description="`away`: an absence notice; `manual`: a person")
    replied_at: datetime | None = Field(description="When a reply stopped it last")
    stopped_at: datetime | None = Field(
        description="Since when it gets no mail because an opt-out waits for confirmation"
    )
    created_at: datetime
    last_updated_at: datetime | None


class ContactQuery(Paging):
    """Query parameters of the list of contacts."""

    mail_address: SearchAddress | None = Field(
        None, alias="mailAddress", description="Only the contact with this address, in any spelling"
    )
    is_active: bool | None = Field(None, alias="isActive")
    suppressed: bool | None = Field(
        None, description="Only contacts whose address is suppressed, or only the others"
    )
    sort: Literal["createdAt", "-createdAt", "mailAddress", "-mailAddress"] = Field(
        "createdAt", description=SORT
    )
