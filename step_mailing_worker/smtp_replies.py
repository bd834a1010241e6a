"""Classifies SMTP replies by a table; the first row that matches decides.

Sources: RFC 3463, the IANA registry of enhanced status codes, and the lists of Gmail and Exchange.
Principle: replies about the recipient count against the contact; replies about the sender park the mailbox.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from sequence_store.domain.states import AttemptReason, Fault, Outcome

LONGEST_REPLY = 300
LONGEST_DELAY = 86_400.0  # seconds
LONGEST_BACKOFF = 4 * 3600.0
SERVICE_CLOSES = 421  # the server closes the connection after this reply


class Phase(StrEnum):
    """The last step that was begun on the connection."""

    CONNECT = "connect"
    EHLO = "ehlo"
    TLS = "tls"
    TOKEN = "token"  # noqa: S105
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BODY = "body"
    DOT = "dot"


@dataclass(frozen=True)
class Reply:
    """A server's reply in a phase."""

    phase: Phase
    code: int
    text: str

    @property
    def enhanced_code(self) -> str | None:
        """Return `5.1.1` of `550 5.1.1 no such user`; None if it is missing or contradicts the code."""
        found = _ENHANCED.match(self.text)
        return found[1] if found and found[1][0] == str(self.code)[0] else None


@dataclass(frozen=True)
class Meaning:
    """Classification of a reply: the outcome of the send, the fault and the stored reason."""

    outcome: Outcome
    fault: Fault | None
    reason: AttemptReason


@dataclass(frozen=True)
class _Row:
    phases: frozenset[Phase]
    code: re.Pattern[str]
    enhanced: re.Pattern[str]
    meaning: Meaning

    def fits(self, reply: Reply) -> bool:
        return (
            reply.phase in self.phases
            and self.code.fullmatch(str(reply.code)) is not None
            and self.enhanced.fullmatch(reply.enhanced_code or "") is not None
        )


_ENHANCED = re.compile(r"\s*([245]\.[0-9]{1,3}\.[0-9]{1,3})\b")
_ANY = frozenset(Phase)
_OPENING = frozenset({Phase.CONNECT, Phase.EHLO, Phase.TLS, Phase.TOKEN})
_AUTH = frozenset({Phase.AUTH})
_MAIL = frozenset({Phase.MAIL})
_RCPT = frozenset({Phase.RCPT})
_CONTENT = frozenset({Phase.DATA, Phase.BODY, Phase.DOT})

_SOFT, _HARD, _CANCELLED = Outcome.SOFT_FAILED, Outcome.HARD_FAILED, Outcome.CANCELLED


def _row(
    phases: frozenset[Phase], code: str, enhanced: str, outcome: Outcome, fault: Fault, reason: AttemptReason
) -> _Row:
    return _Row(phases, re.compile(code), re.compile(enhanced), Meaning(outcome, fault, reason))


_TABLE = (
    # The server is not ready for any mail.
    _row(_OPENING, r".*", r".*", _SOFT, Fault.CONNECTION, AttemptReason.SERVER_NOT_READY),
    _row(_AUTH, r"4..", r".*", _SOFT, Fault.MAILBOX, AttemptReason.SIGN_IN_DEFERRED),
    _row(_AUTH, r"5..", r".*", _CANCELLED, Fault.MAILBOX, AttemptReason.SIGN_IN_REFUSED),
    # Quota, rate and reputation of the sender; servers report some of them in the reply to RCPT.
    _row(_ANY, r"5..", r"5\.4\.5", _CANCELLED, Fault.MAILBOX, AttemptReason.DAILY_LIMIT),
    _row(_ANY, r"5..", r"5\.7\.23[23]|5\.1\.90", _CANCELLED, Fault.MAILBOX, AttemptReason.TENANT_LIMIT),
    _row(_ANY, r"4..", r"4\.7\.\d+", _SOFT, Fault.MAILBOX, AttemptReason.RATE_LIMIT),
    _row(_ANY, r"432", r"|4\.3\.2", _SOFT, Fault.MAILBOX, AttemptReason.RATE_LIMIT),
    _row(_ANY, r"5..", r"5\.7\.13[3-6]", _HARD, Fault.RECIPIENT, AttemptReason.RECIPIENT_TAKES_NO_STRANGERS),
    _row(_ANY, r"5..", r"5\.7\.30", _CANCELLED, Fault.MAILBOX, AttemptReason.PASSWORD_SIGN_IN_ENDED),
    _row(_ANY, r"5..", r"5\.7\.\d+", _CANCELLED, Fault.MAILBOX, AttemptReason.SENDER_POLICY),
    _row(_ANY, r"53[0458]", r".*", _CANCELLED, Fault.MAILBOX, AttemptReason.SIGN_IN_NEEDED),
    _row(_ANY, r"5..", r"5\.1\.[78]", _CANCELLED, Fault.MAILBOX, AttemptReason.SENDER_REFUSED),
    # The message.
    _row(_ANY, r"5..", r"5\.3\.4|5\.2\.3", _CANCELLED, Fault.MESSAGE, AttemptReason.MESSAGE_TOO_LARGE),
    _row(_ANY, r"5..", r"5\.6\.\d+", _CANCELLED, Fault.MESSAGE, AttemptReason.CONTENT_REFUSED),
    # The recipient and its domain.
    _row(_ANY, r"[45]..", r"[45]\.2\.2", _SOFT, Fault.RECIPIENT, AttemptReason.MAILBOX_FULL),
    _row(_RCPT, r"552", r"", _SOFT, Fault.RECIPIENT, AttemptReason.MAILBOX_FULL),
    _row(_ANY, r"5..", r"5\.1\.\d+|5\.2\.1", _HARD, Fault.RECIPIENT, AttemptReason.NO_SUCH_RECIPIENT),
    _row(_ANY, r"4..", r"4\.4\.\d+", _SOFT, Fault.DOMAIN, AttemptReason.DOMAIN_UNREACHABLE),
    _row(_ANY, r"4..", r"4\.[12]\.\d+", _SOFT, Fault.RECIPIENT, AttemptReason.RECIPIENT_DEFERRED),
    # Replies without a known enhanced code: the phase decides. 421 closes the connection in every phase.
    _row(_ANY, str(SERVICE_CLOSES), r".*", _SOFT, Fault.CONNECTION, AttemptReason.SERVER_CLOSES),
    _row(_ANY, r"50[0234]", r".*", _SOFT, Fault.CONNECTION, AttemptReason.PROTOCOL_REFUSED),
    _row(_RCPT, r"4..", r".*", _SOFT, Fault.RECIPIENT, AttemptReason.RECIPIENT_DEFERRED),
    _row(_RCPT, r"5..", r".*", _HARD, Fault.RECIPIENT, AttemptReason.RECIPIENT_REFUSED),
    _row(_MAIL, r"552", r".*", _CANCELLED, Fault.MESSAGE, AttemptReason.MESSAGE_TOO_LARGE),
    _row(_MAIL, r"5..", r".*", _CANCELLED, Fault.MAILBOX, AttemptReason.SENDER_REFUSED),
    _row(_CONTENT, r"552", r"", _CANCELLED, Fault.MESSAGE, AttemptReason.MESSAGE_TOO_LARGE),
    _row(_CONTENT, r"5..", r".*", _CANCELLED, Fault.MESSAGE, AttemptReason.CONTENT_REFUSED),
    _row(_ANY, r"4..", r".*", _SOFT, Fault.CONNECTION, AttemptReason.SERVER_DEFERRED),
    _row(frozenset({Phase.DOT}), r"2..", r".*", Outcome.SENT, Fault.CONNECTION, AttemptReason.ACCEPTED),
)


def meaning_of(reply: Reply) -> Meaning:
    """Classify a reply. An unreadable one is a soft failure, or an unknown outcome after the dot."""
    for row in _TABLE:
        if row.fits(reply):
            found = row.meaning
            return Meaning(Outcome.SENT, None, found.reason) if found.outcome is Outcome.SENT else found
    if reply.phase is Phase.DOT:
        return Meaning(Outcome.UNKNOWN, None, AttemptReason.UNREADABLE_ANSWER)
    return Meaning(Outcome.SOFT_FAILED, Fault.CONNECTION, AttemptReason.UNREADABLE_ANSWER)


_UNITS = {"s": 1, "m": 60, "h": 3600}
_DELAY = re.compile(
    r"\b(?:in|after|for|wait|within)\s+(\d{1,6})\s*(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?)\b",
    re.IGNORECASE,
)
_CLOCK_DELAY = re.compile(
    r"\b(?:in|after|for|wait|within)\s+(?:(\d{1,2}):)?(\d{1,2}):(\d{2})\b", re.IGNORECASE
)


def named_delay(text: str) -> float | None:
    """Return the delay in seconds that a reply names (`in 300 seconds`, `in 00:05:00`), at most a day."""
    if found := _DELAY.search(text):
        return min(LONGEST_DELAY, max(1.0, float(found[1]) * _UNITS[found[2][0].lower()]))
    if found := _CLOCK_DELAY.search(text):
        hours, minutes, seconds = (int(part or 0) for part in found.groups())
        return min(LONGEST_DELAY, max(1.0, hours * 3600.0 + minutes * 60 + seconds))
    return None


def retry_delay(text: str, *, first: float, attempt: int) -> float:
    """Return the seconds to the next attempt: the delay that the server named, else backoff from `first`."""
    backoff = min(max(first, LONGEST_BACKOFF), first * 2 ** min(attempt - 1, 20))
    return named_delay(text) or backoff


_ADDRESS = re.compile(r"[^\s<>\"'(),:;]+@[^\s<>\"'(),:;]+")


def storable(text: str) -> str:
    """Return a reply in the form that is stored: short, printable, without addresses."""
    head = text[: 8 * LONGEST_REPLY]
    printable = "".join(c if c.isprintable() else " " for c in head)
    return " ".join(_ADDRESS.sub("<address>", printable).split())[:LONGEST_REPLY]


_QUEUED = re.compile(r"\bqueued as ([\w.<>@-]{4,200})", re.IGNORECASE)
_OK_ID = re.compile(r"^(?:2\.\d+\.\d+\s+)?ok:?\s+([\w.@-]{8,200})\s*(?:$|-)", re.IGNORECASE)


def provider_message_id(text: str) -> str | None:
    """Return the accepting server's id of the mail, or None if the reply names none."""
    found = _QUEUED.search(text) or _OK_ID.search(text)
    return found[1].strip("<>.") if found else None
