"""Suppressions, as they are sent and received."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ConfigDict, Field

from crud_api.base_schema import Answer, Body
from crud_api.fields import Address, Line, SearchText
from crud_api.paging import Paging

EXAMPLE: dict[str, Any] = {"mailAddress": "grace@example.com", "reason": "asked by phone"}


class SuppressionCreate(Body):
    """An address that must not be mailed again."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    mail_address: Address
    reason: Line


class Lifting(Body):
    """Why an address may be mailed again, and who says so; both are kept, with the key in use."""

    reason: Line = Field(examples=["the mailbox exists again"])
    by: Line = Field(examples=["Grace Hopper"])


class Suppression(Answer):
    """That an address is suppressed. The address itself is not kept: look it up with `mailAddress`."""

    id: UUID
    reason: str = Field(examples=["unsubscribed", "hard_bounce", "complaint", "erased"])
    at: datetime


class SuppressionQuery(Paging):
    """The query of the list of suppressions."""

    mail_address: SearchText | None = Field(
        None, alias="mailAddress", description="That of this address alone, without regard to case"
    )
