"""Builds the signed message of an event, as Standard Webhooks says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from standardwebhooks import Webhook

TEST = "test"


def event_body(event: Mapping[str, Any]) -> str:
    """Return the JSON of an event of the feed: `type`, `timestamp`, `position` and `data`, as GET /events."""
    data = {_camel(name): _text(value) for name, value in event.items()}
    return _json(
        {"type": event["kind"], "timestamp": data["at"], "position": event["position"], "data": data}
    )


def test_body(webhook: UUID) -> str:
    """Return the JSON of a test event, which is not in the feed and has no position."""
    now = datetime.now(UTC)
    data = {"kind": TEST, "webhookId": str(webhook)}
    return _json({"type": TEST, "timestamp": _text(now), "position": None, "data": data})


def signed_headers(message_id: str, body: str, secrets: Sequence[str]) -> dict[str, str]:
    """Return the headers of a message; it has a signature for each secret, so that one can be rotated.

    Raise ValueError if a secret is none.
    """
    now = datetime.now(UTC)
    signatures = [Webhook(secret).sign(message_id, now, body) for secret in secrets]
    return {
        "Content-Type": "application/json",
        "User-Agent": "sequences-webhooks/1",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def _text(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value) if isinstance(value, UUID) else value


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(part.capitalize() for part in others)
