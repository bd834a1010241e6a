"""Defines the request and response bodies of suppressions."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from crud_api.base_schema import RequestBody, ResponseBody, example
from crud_api.fields import Address, Line, SearchAddress
from crud_api.paging import Paging

EXAMPLE: dict[str, Any] = {"mailAddress": "grace@example.com", "reason": "asked by phone"}


class SuppressionCreate(RequestBody):
    """An address that must not be mailed."""

    model_config = example(EXAMPLE)

    mail_address: Address
    reason: Line


class Lifting(RequestBody):
    """The reason why an address may be mailed again, and the person who decided it. Both are recorded."""

    reason: Line = Field(examples=["the mailbox exists again"])
    by: Line = Field(examples=["Grace Hopper"])


class Suppression(ResponseBody):
    """A suppressed address. The address itself is not stored; to find it, use the filter `mailAddress`."""

    id: UUID
    reason: str = Field(examples=["unsubscribed", "hard_bounce", "refused", "complaint", "erased"])
    at: datetime
    until: datetime | None = Field(
        description="When the address may be mailed again; null: never. Only repeated refusals have an end"
    )


class SuppressionQuery(Paging):
    """Query parameters of the list of suppressions."""

    mail_address: SearchAddress | None = Field(
        None, alias="mailAddress", description="Only the suppression of this address, in any spelling"
    )
