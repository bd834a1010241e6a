"""Defines the request and response bodies of webhooks."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, Field

from crud_api.base_schema import UNSENT, PatchBody, RequestBody, ResponseBody, example, example_of_changes
from crud_api.events.schemas import Kind, known_kinds
from crud_api.paging import Paging
from sequence_store.webhook_urls import LONGEST_URL, URL_PATTERN, check_url

EXAMPLE: dict[str, Any] = {"url": "https://crm.example.com/hooks/sequences", "kinds": ["replied", "bounced"]}
Kinds = Annotated[list[Kind], Field(min_length=1, max_length=100), AfterValidator(known_kinds)]
Url = Annotated[
    str,
    Field(
        max_length=LONGEST_URL,
        description="https on port 443, in no private network. A public IP address may stand for the host "
        "name; in the environment `local` also a loopback address, with http and any port",
        json_schema_extra={"pattern": URL_PATTERN},
    ),
    AfterValidator(lambda url: check_url(url, local=True)),  # the service knows the environment
]


class WebhookCreate(RequestBody):
    """A receiver of the feed."""

    model_config = example(EXAMPLE)

    url: Url
    kinds: Kinds | None = Field(None, description="The kinds of events that it gets; null: all")


class WebhookChanges(PatchBody):
    """Changes of a webhook. `isActive: true` also lets one go on that was switched off."""

    model_config = example_of_changes({"isActive": True})

    url: Url = UNSENT
    kinds: Kinds | None = UNSENT
    is_active: bool = UNSENT


class Webhook(ResponseBody):
    """A receiver of the feed, and how far it is."""

    id: UUID
    url: str
    kinds: list[str] | None
    is_active: bool
    position: int = Field(description="The events up to this position were delivered")
    failures: int = Field(description="Failures since the last delivery")
    failing_since: datetime | None
    next_attempt_at: datetime | None
    last_error: str | None
    delivered_at: datetime | None = Field(description="The last delivery")
    switched_off_at: datetime | None = Field(
        description="When it was switched off because it failed for three days"
    )
    previous_secret_until: datetime | None = Field(description="Until then the previous secret signs, too")
    test_result: str | None = Field(description="What came of the last test event")
    tested_at: datetime | None
    created_at: datetime
    last_updated_at: datetime | None


class WebhookWithSecret(Webhook):
    """A webhook with its new secret, which is shown only now."""

    secret: str | None = Field(
        description="Verifies the signatures (Standard Webhooks); null in a repeated response: rotate it"
    )


class WebhookQuery(Paging):
    """Query parameters of the list of webhooks."""
