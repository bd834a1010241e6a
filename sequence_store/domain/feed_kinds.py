"""Names the kinds of events as the feed and the webhooks show them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sequence_store.domain.states import EventKind, FeedbackKind

# What the feed calls events that are stored under another name; the SQL function `feed_kind` does the same.
FEED_NAMES: Mapping[str, str] = MappingProxyType(
    {
        FeedbackKind.BOUNCE: "bounced",
        EventKind.HARD_FAILED: "bounced",
        FeedbackKind.SOFT_BOUNCE: "soft_bounced",
        FeedbackKind.COMPLAINT: "complained",
        FeedbackKind.REPLY: "replied",
        FeedbackKind.AUTO_REPLY: "auto_replied",
        FeedbackKind.OPT_OUT: "opted_out",
    }
)
NOT_STORED = frozenset({FeedbackKind.DELIVERY})  # it changes nothing, so no event is recorded
FEED_KINDS = frozenset(
    FEED_NAMES.get(kind, str(kind)) for kind in (*EventKind, *FeedbackKind) if kind not in NOT_STORED
)
