"""Contacts, as they are sent and received."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from crud_api.base_schema import UNSENT, Answer, Body, Changes, example, example_of_changes
from crud_api.contacts.attributes import Attributes
from crud_api.fields import Address, Line, SearchText
from crud_api.paging import Paging

EXAMPLE: dict[str, Any] = {
    "name": "Grace Hopper",
    "mailAddress": "grace@example.com",
    "attributes": {"company": "Navy"},
}


class ContactCreate(Body):
    """A new contact."""

    model_config = example(EXAMPLE)

    name: Line
    mail_address: Address
    is_active: bool = True
    attributes: Attributes = Field(default={})


class ContactChanges(Changes):
    """What is to change of a contact; `attributes` are replaced as a whole."""

    model_config = example_of_changes({"isActive": False})

    name: Line = UNSENT
    mail_address: Address = UNSENT
    is_active: bool = UNSENT
    attributes: Attributes = UNSENT


class Contact(Answer):
    """Who is mailed."""

    id: UUID
    name: str
    mail_address: str
    is_active: bool
    attributes: dict[str, Any]
    created_at: datetime
    last_updated_at: datetime | None


class ContactQuery(Paging):
    """The query of the list of contacts."""

    mail_address: SearchText | None = Field(
        None, alias="mailAddress", description="Exactly this address, without regard to case"
    )
    is_active: bool | None = Field(None, alias="isActive")
    sort: Literal["createdAt", "-createdAt", "mailAddress", "-mailAddress"] = Field(
        "createdAt", description="In this order; with - the other way"
    )
