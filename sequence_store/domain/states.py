"""Words that the database stores for states, reasons and events, and the transitions of a send.

The words are a contract: SQL, clients of the API and people compare them. docs/states.md draws the
transitions, and `explanations.py` explains each word. This module imports nothing of the product, because the
planning engine imports it.
"""

from __future__ import annotations

from enum import StrEnum


class SendStatus(StrEnum):
    """The state of a send (`sends.status`): one step of one enrolment."""

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
REUSABLE = frozenset({SendStatus.CANCELLED, SendStatus.EXPIRED})

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
        *((live, end) for live in LIVE - {SendStatus.TRANSMITTING} for end in REUSABLE),
        *((end, SendStatus.PLANNED) for end in REUSABLE),
    },
)


class EnrolmentStatus(StrEnum):
    """The state of a contact in a sequence (`sequences_contacts.status`)."""

    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"
    REPLIED = "replied"
    BOUNCED = "bounced"
    UNSUBSCRIBED = "unsubscribed"
    REMOVED = "removed"


class Outcome(StrEnum):
    """The outcome of one attempt, as the worker reports it."""

    SENT = "sent"
    HARD_FAILED = "hard_failed"
    SOFT_FAILED = "soft_failed"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Fault(StrEnum):
    """The cause of a failed attempt; only a fault of the recipient can end the enrolment."""

    RECIPIENT = "recipient"
    DOMAIN = "domain"
    MESSAGE = "message"
    MAILBOX = "mailbox"
    CONNECTION = "connection"


class Parks(StrEnum):
    """What a fault of the mailbox does to it: park it, count as a reputation event, or nothing."""

    NOW = "now"
    COUNTS = "counts"
    NO = "no"


class Counted(StrEnum):
    """What counts the dates of refusals that are no evidence alone (`refusals.kind`)."""

    ADDRESS = "address"
    ACCESS_DENIED = "access_denied"
    DOMAIN = "domain"


class MailFormat(StrEnum):
    """What a step's content is (`steps.mail_format`); `auto` decides by the content itself."""

    AUTO = "auto"
    TEXT = "text"
    HTML = "html"


class Deferral(StrEnum):
    """The reason why a due contact has no slot in the latest plan (`plan_deferrals.reason`)."""

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
    LATER_TODAY = "later_today"
    UNKNOWN_OUTCOME = "unknown_outcome"
    CAME_LATER = "came_later"
    SEQUENCE_INACTIVE = "sequence_inactive"
    CONTACT_INACTIVE = "contact_inactive"
    SUPPRESSED = "suppressed"
    INVALID_ADDRESS = "invalid_address"
    REFUSED_TODAY = "refused_today"
    RELAY_LACKS_SMTPUTF8 = "relay_lacks_smtputf8"
    OPT_OUT_UNVERIFIED = "opt_out_unverified"
    COMPANY_STOPPED = "company_stopped"
    AWAY = "away"


class ClosedGate(StrEnum):
    """The first closed gate of a send (`sends.reason`), read by the plan, the claim and the gate before DATA.

    The words of an enrolment are `enrolment_` and its status; `of_enrolment` makes them in Python.
    """

    ENROLMENT_PAUSED = "enrolment_paused"
    ENROLMENT_COMPLETED = "enrolment_completed"
    ENROLMENT_REPLIED = "enrolment_replied"
    ENROLMENT_BOUNCED = "enrolment_bounced"
    ENROLMENT_UNSUBSCRIBED = "enrolment_unsubscribed"
    ENROLMENT_REMOVED = "enrolment_removed"
    CONTACT_INACTIVE = "contact_inactive"
    SUPPRESSED = "suppressed"
    OPT_OUT_UNVERIFIED = "opt_out_unverified"
    COMPANY_STOPPED = "company_stopped"
    AWAY = "away"
    STEP_DELETED = "step_deleted"
    SEQUENCE_INACTIVE = "sequence_inactive"
    MAILBOX_INACTIVE = "mailbox_inactive"
    MAILBOX_PARKED = "mailbox_parked"
    DELAY_CHANGED = "delay_changed"
    MAILED_BEFORE = "mailed_before"
    ALL_PAUSED = "all_paused"

    @classmethod
    def of_enrolment(cls, status: EnrolmentStatus | str) -> ClosedGate:
        """Return the gate that an enrolment of this status closes; raise ValueError for `active`."""
        return cls(f"enrolment_{status}")


class SendReason(StrEnum):
    """A reason of a send's state other than a closed gate (`sends.reason`)."""

    WINDOW_CHANGED = "window_changed"
    LIMIT_LOWERED = "limit_lowered"
    LIMIT_REACHED = "limit_reached"
    UNSUBSCRIBED = "unsubscribed"
    CONTACT_ERASED = "contact_erased"
    NOT_AFTER = "not_after"
    GAP = "gap"
    MESSAGE_VANISHED = "message_vanished"
    CLAIM_LOST = "claim_lost"
    NO_ANSWER = "no_answer"
    REFUSED_TODAY = "refused_today"
    RELAY_LACKS_SMTPUTF8 = "relay_lacks_smtputf8"
    SOFT_FAILURES = "soft_failures"
    FEEDBACK = "feedback"
    RESOLVED = "resolved"
    RESTORED = "restored"


class AttemptReason(StrEnum):
    """The reason of an attempt's outcome: the meaning of the server's reply, or a fault found before it.

    Stored in `sends.reason`, in `mailboxes.parked_reason` for a fault of the mailbox, and in
    `sequences_contacts.status_reason` for a fault of the message.
    """

    ACCEPTED = "accepted"
    SERVER_NOT_READY = "server_not_ready"
    SERVER_CLOSES = "server_closes"
    SERVER_DEFERRED = "server_deferred"
    PROTOCOL_REFUSED = "protocol_refused"
    UNREADABLE_ANSWER = "unreadable_answer"
    DATABASE_LOST_AT_GATE = "database_lost_at_gate"
    TIMEOUT = "timeout"  # stored with the phase: timeout_rcpt
    CONNECTION_LOST = "connection_lost"  # stored with the phase: connection_lost_dot
    SIGN_IN_DEFERRED = "sign_in_deferred"
    SIGN_IN_REFUSED = "sign_in_refused"
    SIGN_IN_NEEDED = "sign_in_needed"
    SIGN_IN_NOT_OFFERED = "sign_in_not_offered"
    PASSWORD_SIGN_IN_ENDED = "password_sign_in_ended"  # noqa: S105
    PASSWORD_WITHOUT_TLS = "password_without_tls"  # noqa: S105
    STARTTLS_NOT_OFFERED = "starttls_not_offered"
    XOAUTH2_NOT_OFFERED = "xoauth2_not_offered"
    SMTPUTF8_NOT_OFFERED = "smtputf8_not_offered"
    CERTIFICATE_NOT_TRUSTED = "certificate_not_trusted"
    PRIVATE_HOST = "private_host"
    PORT_NOT_FOR_MAIL = "port_not_for_mail"
    MAIL_SINK = "mail_sink"
    NO_SMTP_HOST = "no_smtp_host"
    SECRET_MISSING = "secret_missing"  # noqa: S105
    SECRET_NOT_FOUND = "secret_not_found"  # noqa: S105
    SECRET_NOT_UNDERSTOOD = "secret_not_understood"  # noqa: S105
    SECRET_NOT_SEALED = "secret_not_sealed"  # noqa: S105
    SECRET_OF_ANOTHER_KEY = "secret_of_another_key"  # noqa: S105
    TOKEN_REFUSED = "token_refused"  # noqa: S105  (stored with the provider's error code after a colon)
    TOKEN_UNREADABLE = "token_unreadable"  # noqa: S105
    TOKEN_URL_WITHOUT_TLS = "token_url_without_tls"  # noqa: S105
    NO_AWS_CREDENTIALS = "no_aws_credentials"
    DAILY_LIMIT = "daily_limit"
    TENANT_LIMIT = "tenant_limit"
    RATE_LIMIT = "rate_limit"
    SENDER_POLICY = "sender_policy"
    SENDER_REFUSED = "sender_refused"
    RELAYING_REFUSED = "relaying_refused"
    MESSAGE_TOO_LARGE = "message_too_large"
    CONTENT_REFUSED = "content_refused"
    # The parts of a mail that could not be made: stored with the fault after a colon.
    TEMPLATE = "template"
    MISSING_VALUE = "missing_value"
    SUBJECT = "subject"
    MAIL = "mail"
    CONTACT_ADDRESS = "contact address"
    MAILBOX_ADDRESS = "mailbox address"
    MAILBOX_DISPLAY_NAME = "mailbox display name"
    MAILBOX_FULL = "mailbox_full"
    NO_SUCH_RECIPIENT = "no_such_recipient"
    RECIPIENT_REFUSED = "recipient_refused"
    RECIPIENT_DEFERRED = "recipient_deferred"
    RECIPIENT_TAKES_NO_STRANGERS = "recipient_takes_no_strangers"
    DOMAIN_UNREACHABLE = "domain_unreachable"
    NO_SUCH_DOMAIN = "no_such_domain"


class ReputationReason(StrEnum):
    """The reason why the reputation rules parked a mailbox or switched a sequence off."""

    UNKNOWN_OUTCOMES = "three unknown outcomes in a row"
    BOUNCE_RATE = "bounce rate"
    COMPLAINT_RATE = "complaint rate"
    POLICY_REFUSALS = "refused by policy"
    MESSAGE_FAULTS = "five message faults of one step in a row"


class EnrolmentReason(StrEnum):
    """The reason of an enrolment's end (`sequences_contacts.status_reason`).

    After a hard failure the column holds the SMTP code instead, and after a message fault the AttemptReason.
    """

    BOUNCE = "bounce"
    COMPLAINT = "complaint"
    REPLY = "reply"
    LEFT_COMPANY = "left_company"
    UNSUBSCRIBED = "unsubscribed"
    SUPPRESSED = "suppressed"
    CONTACT_DELETED = "contact_deleted"
    CONTACT_ERASED = "contact_erased"
    RESTORED = "restored"


class SuppressionReason(StrEnum):
    """A suppression's reason that the product sets (`suppressions.reason`); people may enter other texts."""

    HARD_BOUNCE = "hard_bounce"
    REFUSED = "refused"
    COMPLAINT = "complaint"
    UNSUBSCRIBED = "unsubscribed"
    ERASED = "erased"
    IMPORTED = "imported"
    OPTED_OUT = "opted_out"


class FeedbackKind(StrEnum):
    """The kind of a report or a reply to a sent mail; the SQL function `record_feedback` applies it."""

    BOUNCE = "bounce"
    SOFT_BOUNCE = "soft_bounce"
    COMPLAINT = "complaint"
    REPLY = "reply"
    AUTO_REPLY = "auto_reply"
    OPT_OUT = "opt_out"
    DELIVERY = "delivery"


class MailKind(StrEnum):
    """What a mail is that a mailbox received (`inbox_mails.kind`)."""

    REPLY = "reply"
    AUTO_REPLY = "auto_reply"
    OPT_OUT = "opt_out"
    HARD_BOUNCE = "hard_bounce"
    SOFT_BOUNCE = "soft_bounce"
    COMPLAINT = "complaint"
    UNSUBSCRIBE = "unsubscribe"
    OWN = "own"
    NONE = "none"
    UNREADABLE = "unreadable"


class ReplyStops(StrEnum):
    """Whom a reply stops (`sequences.reply_stops`)."""

    SEQUENCE = "sequence"
    CONTACT = "contact"
    COMPANY = "company"


class HoldReason(StrEnum):
    """Why a contact is held (`contacts.hold_reason`)."""

    AWAY = "away"
    MANUAL = "manual"


class MailOutcome(StrEnum):
    """What followed from a mail that a mailbox received (`inbox_mails.verdict`)."""

    NONE = "none"
    RECORDED = "recorded"
    KNOWN = "known"
    ABSENT = "absent"
    ARCHIVED = "archived"
    UNREADABLE = "unreadable"
    STOPPED_SEQUENCE = "stopped_sequence"
    STOPPED_CONTACT = "stopped_contact"
    STOPPED_COMPANY = "stopped_company"
    STOPPED_CONTACT_NOT_NAMED = "stopped_contact_not_named"
    STOPPED_CONTACT_NO_DOMAIN = "stopped_contact_no_domain"
    STOPPED_CONTACT_FREE_MAIL = "stopped_contact_free_mail"
    STOPPED_CONTACT_OWN_DOMAIN = "stopped_contact_own_domain"
    STOPPED_CONTACT_TOO_MANY_CONTACTS = "stopped_contact_too_many_contacts"
    SUPPRESSED = "suppressed"
    OPT_OUT_UNVERIFIED = "opt_out_unverified"
    LEFT_COMPANY = "left_company"
    HELD = "held"


class EventKind(StrEnum):
    """The kind of an event (`send_events.kind`, which stores every FeedbackKind, too).

    A new kind needs a line here and its explanation; the feed and the webhooks then have it. feed_kinds.py
    has those that the feed calls by another name.
    """

    SENT = "sent"
    HARD_FAILED = "hard_failed"
    UNKNOWN = "unknown"
    COMPLETED = "completed"
    WEBHOOK_SWITCHED_OFF = "webhook_switched_off"
    SOFT_FAILURE = "soft_failure"
    MESSAGE_FAULT = "message_fault"
    RESOLVED = "resolved"
    RESTORED = "restored"
    OPENED = "opened"
    CLICKED = "clicked"
    UNSUBSCRIBED = "unsubscribed"
    CONTACT_ERASED = "contact_erased"
    SUPPRESSION_LIFTED = "suppression_lifted"
    REPLY_UNDONE = "reply_undone"
    OPT_OUT_CONFIRMED = "opt_out_confirmed"
    OPT_OUT_LIFTED = "opt_out_lifted"
    HELD = "held"
    HOLD_ENDED = "hold_ended"
    LEFT_COMPANY = "left_company"
    MAILBOX_PARKED = "mailbox_parked"
    SEQUENCE_SWITCHED_OFF = "sequence_switched_off"


class ImportState(StrEnum):
    """The state of an import (`imports.state`)."""

    READING = "reading"
    MERGING = "merging"
    DONE = "done"
    FAILED = "failed"


class ImportOutcome(StrEnum):
    """The outcome of a row that an import reports (`import_lines.outcome`)."""

    REFUSED = "refused"
    FLAGGED = "flagged"
    MERGED = "merged"
    NOT_ENROLLED = "not_enrolled"
