"""The states of a send and of an enrolment, and the edges between them (drawn in docs/states.md)."""

from __future__ import annotations

from enum import StrEnum


class SendStatus(StrEnum):
    """What became of one step of one enrolment."""

    PLANNED = "planned"
    DISPATCHED = "dispatched"
    CLAIMED = "claimed"
    TRANSMITTING = "transmitting"
    SENT = "sent"
    HARD_FAILED = "hard_failed"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


LIVE = frozenset(
    {SendStatus.PLANNED, SendStatus.DISPATCHED, SendStatus.CLAIMED, SendStatus.TRANSMITTING},
)
SPENT = frozenset({SendStatus.SENT, SendStatus.HARD_FAILED, SendStatus.UNKNOWN})
OPEN = frozenset({SendStatus.CANCELLED, SendStatus.EXPIRED})

TRANSITIONS: frozenset[tuple[SendStatus, SendStatus]] = frozenset(
    {
        (SendStatus.PLANNED, SendStatus.DISPATCHED),
        (SendStatus.PLANNED, SendStatus.CLAIMED),
        (SendStatus.DISPATCHED, SendStatus.CLAIMED),
        (SendStatus.DISPATCHED, SendStatus.PLANNED),
        (SendStatus.CLAIMED, SendStatus.CLAIMED),
        (SendStatus.CLAIMED, SendStatus.TRANSMITTING),
        (SendStatus.CLAIMED, SendStatus.PLANNED),
        (SendStatus.CLAIMED, SendStatus.HARD_FAILED),
        (SendStatus.TRANSMITTING, SendStatus.SENT),
        (SendStatus.TRANSMITTING, SendStatus.HARD_FAILED),
        (SendStatus.TRANSMITTING, SendStatus.PLANNED),
        (SendStatus.TRANSMITTING, SendStatus.CANCELLED),
        (SendStatus.TRANSMITTING, SendStatus.EXPIRED),
        (SendStatus.TRANSMITTING, SendStatus.UNKNOWN),
        (SendStatus.UNKNOWN, SendStatus.SENT),
        (SendStatus.UNKNOWN, SendStatus.PLANNED),
        *((live, end) for live in LIVE - {SendStatus.TRANSMITTING} for end in OPEN),
        *((end, SendStatus.PLANNED) for end in OPEN),
    },
)


class EnrolmentStatus(StrEnum):
    """Where a contact stands in a sequence."""

    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"
    REPLIED = "replied"
    BOUNCED = "bounced"
    UNSUBSCRIBED = "unsubscribed"
    REMOVED = "removed"


class Outcome(StrEnum):
    """What a worker reports of one attempt."""

    SENT = "sent"
    HARD_FAILED = "hard_failed"
    SOFT_FAILED = "soft_failed"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Fault(StrEnum):
    """Whose fault a failed attempt was; only a recipient's costs the contact anything."""

    RECIPIENT = "recipient"
    DOMAIN = "domain"
    MESSAGE = "message"
    MAILBOX = "mailbox"
    CONNECTION = "connection"


class Deferral(StrEnum):
    """Why a due contact has no place today."""

    NO_CAPACITY = "no_capacity"
    WINDOW_CLOSED = "window_closed"
    MAILBOX_INACTIVE = "mailbox_inactive"
    MAILBOX_PARKED = "mailbox_parked"
    MAILBOX_MISCONFIGURED = "mailbox_misconfigured"
    NO_MAILBOX = "no_mailbox"
    ONE_MAIL_A_DAY = "one_mail_a_day"
    MAX_NEW_PER_DAY = "max_new_per_day"
    MAX_FIRST_MAILS = "max_first_mails"
    PINNED_MAILBOX_FULL = "pinned_mailbox_full"
    UNKNOWN_OUTCOME = "unknown_outcome"
    CAME_LATER = "came_later"
    SEQUENCE_INACTIVE = "sequence_inactive"
    CONTACT_INACTIVE = "contact_inactive"
    SUPPRESSED = "suppressed"
    INVALID_ADDRESS = "invalid_address"
