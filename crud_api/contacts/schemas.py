"""Defines the request and response bodies of contacts."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from crud_api.base_schema import (
    UNSENT,
    PatchBody,
    Query,
    RequestBody,
    ResponseBody,
    example,
    example_of_changes,
)
from crud_api.contacts.attributes import Attributes
from crud_api.fields import (
    LINE_OR_NOTHING_PATTERN,
    NO_NUL_PATTERN,
    Address,
    Day,
    Instant,
    SearchAddress,
    SearchText,
    one_line,
    without_nul,
)
from crud_api.paging import SORT, Paging
from sequence_store.domain.states import HoldReason

MOST_ROWS = 1_000
CONTACT_ROWS_SCHEMA = {
    "type": "array",
    "minItems": 1,
    "maxItems": MOST_ROWS,
    "items": {
        "type": "object",
        "properties": {
            "mailAddress": {"type": "string", "format": "email"},
            "name": {"type": "string"},
            "isActive": {"type": "boolean"},
            "attributes": {"type": "object"},
        },
    },
}
AttributeFilter = Annotated[
    str,
    StringConstraints(min_length=1, max_length=1_000),
    AfterValidator(without_nul),
    Field(json_schema_extra={"pattern": NO_NUL_PATTERN}),
]

EXAMPLE: dict[str, Any] = {
    "name": "Grace Hopper",
    "mailAddress": "grace@example.com",
    "attributes": {"company": "Navy"},
}


# A contact may have no name; templates then see none.
ContactName = Annotated[
    str,
    StringConstraints(max_length=255),
    AfterValidator(one_line),
    Field(description="May be empty", json_schema_extra={"pattern": LINE_OR_NOTHING_PATTERN}),
]


class ContactCreate(RequestBody):
    """A new contact."""

    model_config = example(EXAMPLE)

    name: ContactName = ""
    mail_address: Address
    is_active: bool = True
    attributes: Attributes = Field(default={})


class ContactChanges(PatchBody):
    """The fields of a contact to change; `attributes` are replaced as a whole."""

    model_config = example_of_changes({"isActive": False})

    name: ContactName = UNSENT
    mail_address: Address = UNSENT
    is_active: bool = UNSENT
    attributes: Attributes = UNSENT
    hold_until: Day | None = Field(
        default=UNSENT,
        description="Hold the contact: it gets no mail of this date or an earlier one; null ends it",
    )


class ContactUpsert(PatchBody):
    """The fields of a contact with a given address. Fields that are absent stay, or get their default."""

    model_config = example_of_changes({"name": "Grace Hopper", "attributes": {"company": "Navy"}})

    name: ContactName = UNSENT
    is_active: bool = UNSENT
    attributes: Attributes = UNSENT


class ContactRow(ContactUpsert):
    """A contact of a list, with its address."""

    model_config = example_of_changes(EXAMPLE)

    mail_address: Address


class ContactRows(RequestBody):
    """Up to 1,000 contacts. A row that is invalid is refused alone."""

    model_config = example({"contacts": [EXAMPLE]})

    contacts: Annotated[
        list[Any], Field(min_length=1, max_length=MOST_ROWS), WithJsonSchema(CONTACT_ROWS_SCHEMA)
    ]

    @model_validator(mode="before")
    @classmethod
    def _list_is_contacts(cls, body: Any) -> Any:
        return {"contacts": body} if isinstance(body, list) else body


class RowResult(ResponseBody):
    """What became of a row, in the order of the request."""

    index: int = Field(description="Position of the row in the request, from 0")
    outcome: Literal["created", "changed", "unchanged", "merged", "refused"] = Field(
        description="`merged`: a later row of the address of an earlier one"
    )
    id: UUID | None = Field(description="The contact; null if the row was refused")
    message: str | None = Field(description="Why the row was refused", examples=["mailAddress: is required"])


class RowResults(ResponseBody):
    """The result of a list of contacts."""

    created: int
    changed: int
    unchanged: int
    merged: int
    refused: int
    results: list[RowResult]


class AddressQuery(Query):
    """Names the contact by its address."""

    mail_address: Address = Field(
        alias="mailAddress", description="The address of the contact, in any spelling"
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


def _written_instant(value: Any) -> Any:
    """Refuse a number, which Pydantic would read as seconds; read a + that the query has as a blank."""
    if isinstance(value, str) and "-" not in value[1:]:
        raise ValueError("must be a time with its offset from UTC, such as 2026-03-10T09:00:00Z")
    return _BLANK_OFFSET.sub(r"+\1", value) if isinstance(value, str) else value


_BLANK_OFFSET = re.compile(r" (\d\d:?\d\d)\Z")


class ContactQuery(Paging):
    """Query parameters of the list of contacts."""

    mail_address: SearchAddress | None = Field(
        None, alias="mailAddress", description="Only the contact with this address, in any spelling"
    )
    is_active: bool | None = Field(None, alias="isActive")
    suppressed: bool | None = Field(
        None, description="Only contacts whose address is suppressed, or only the others"
    )
    search: SearchText | None = Field(
        None, description="Only contacts with this text in their name or address; case is ignored"
    )
    attribute: list[AttributeFilter] = Field(
        [],
        max_length=10,
        description="Only contacts with this value of an attribute, as `name:value`, or with any value of "
        "it, as `name`; a contact must match all of them",
        examples=[["company:Acme"]],
    )
    changed_since: Annotated[Instant, BeforeValidator(_written_instant)] | None = Field(
        None,
        alias="changedSince",
        description="Only contacts that were created or changed at this time or later, such as "
        "2026-03-10T09:00:00Z",
    )
    sort: Literal["createdAt", "-createdAt", "mailAddress", "-mailAddress"] = Field(
        "createdAt", description=SORT
    )
