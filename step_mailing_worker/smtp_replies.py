"""What a server's answer means: pure, a table read from the top, the first row that fits decides.

Sources: RFC 3463 and the IANA registry of enhanced codes, Gmail's and Exchange's own lists. The table's
principle: a recipient pays only for what is said of the recipient, and a sender's trouble parks the mailbox.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from sequence_store.domain.states import Fault, Outcome

LONGEST_REPLY = 300
LONGEST_DELAY = 86_400.0
LONGEST_BACKOFF = 4 * 3600.0


class Phase(StrEnum):
    """What was last asked of the server."""

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
    """A server's answer in a phase."""

    phase: Phase
    code: int
    text: str

    @property
    def enhanced_code(self) -> str | None:
        """Return `5.1.1` of `550 5.1.1 no such user`, None if there is none that fits the code."""
        found = _ENHANCED.match(self.text)
        return found[1] if found and found[1][0] == str(self.code)[0] else None


@dataclass(frozen=True)
class Meaning:
    """What an answer means for the send."""

    outcome: Outcome
    fault: Fault | None
    reason: str


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
    phases: frozenset[Phase], code: str, enhanced: str, outcome: Outcome, fault: Fault, reason: str
) -> _Row:
    return _Row(phases, re.compile(code), re.compile(enhanced), Meaning(outcome, fault, reason))


_TABLE = (
    # The server is not ready for anybody.
    _row(_OPENING, r".*", r".*", _SOFT, Fault.CONNECTION, "server_not_ready"),
    _row(_AUTH, r"4..", r".*", _SOFT, Fault.MAILBOX, "sign_in_deferred"),
    _row(_AUTH, r"5..", r".*", _CANCELLED, Fault.MAILBOX, "sign_in_refused"),
    # The sender's quota, rate and reputation, though some of them come as an answer to RCPT.
    _row(_ANY, r"5..", r"5\.4\.5", _CANCELLED, Fault.MAILBOX, "daily_limit"),
    _row(_ANY, r"5..", r"5\.7\.23[23]|5\.1\.90", _CANCELLED, Fault.MAILBOX, "tenant_limit"),
    _row(_ANY, r"4..", r"4\.7\.\d+", _SOFT, Fault.MAILBOX, "rate_limit"),
    _row(_ANY, r"432", r"|4\.3\.2", _SOFT, Fault.MAILBOX, "rate_limit"),
    _row(_ANY, r"5..", r"5\.7\.13[3-6]", _HARD, Fault.RECIPIENT, "recipient_takes_no_strangers"),
    _row(_ANY, r"5..", r"5\.7\.30", _CANCELLED, Fault.MAILBOX, "password_sign_in_ended"),
    _row(_ANY, r"5..", r"5\.7\.\d+", _CANCELLED, Fault.MAILBOX, "sender_policy"),
    _row(_ANY, r"53[0458]", r".*", _CANCELLED, Fault.MAILBOX, "sign_in_needed"),
    _row(_ANY, r"5..", r"5\.1\.[78]", _CANCELLED, Fault.MAILBOX, "sender_refused"),
    # The message.
    _row(_ANY, r"5..", r"5\.3\.4|5\.2\.3", _CANCELLED, Fault.MESSAGE, "message_too_large"),
    _row(_ANY, r"5..", r"5\.6\.\d+", _CANCELLED, Fault.MESSAGE, "content_refused"),
    # The recipient and its domain.
    _row(_ANY, r"[45]..", r"[45]\.2\.2", _SOFT, Fault.RECIPIENT, "mailbox_full"),
    _row(_RCPT, r"552", r"", _SOFT, Fault.RECIPIENT, "mailbox_full"),
    _row(_ANY, r"5..", r"5\.1\.\d+|5\.2\.1", _HARD, Fault.RECIPIENT, "no_such_recipient"),
    _row(_ANY, r"4..", r"4\.4\.\d+", _SOFT, Fault.DOMAIN, "domain_unreachable"),
    _row(_ANY, r"4..", r"4\.[12]\.\d+", _SOFT, Fault.RECIPIENT, "recipient_deferred"),
    # What the phase alone says. 421 ends the connection, whatever was asked.
    _row(_ANY, r"421", r".*", _SOFT, Fault.CONNECTION, "server_closes"),
    _row(_ANY, r"50[0234]", r".*", _SOFT, Fault.CONNECTION, "protocol_refused"),
    _row(_RCPT, r"4..", r".*", _SOFT, Fault.RECIPIENT, "recipient_deferred"),
    _row(_RCPT, r"5..", r".*", _HARD, Fault.RECIPIENT, "recipient_refused"),
    _row(_MAIL, r"552", r".*", _CANCELLED, Fault.MESSAGE, "message_too_large"),
    _row(_MAIL, r"5..", r".*", _CANCELLED, Fault.MAILBOX, "sender_refused"),
    _row(_CONTENT, r"552", r"", _CANCELLED, Fault.MESSAGE, "message_too_large"),
    _row(_CONTENT, r"5..", r".*", _CANCELLED, Fault.MESSAGE, "content_refused"),
    _row(_ANY, r"4..", r".*", _SOFT, Fault.CONNECTION, "server_deferred"),
    _row(frozenset({Phase.DOT}), r"2..", r".*", Outcome.SENT, Fault.CONNECTION, "accepted"),
)


def meaning_of(reply: Reply) -> Meaning:
    """Classify an answer. One that is no SMTP is a connection's failure, and after the dot unknown."""
    for row in _TABLE:
        if row.fits(reply):
            found = row.meaning
            return Meaning(Outcome.SENT, None, found.reason) if found.outcome is Outcome.SENT else found
    if reply.phase is Phase.DOT:
        return Meaning(Outcome.UNKNOWN, None, "unreadable_answer")
    return Meaning(Outcome.SOFT_FAILED, Fault.CONNECTION, "unreadable_answer")


_UNITS = {"s": 1, "m": 60, "h": 3600}
_DELAY = re.compile(
    r"\b(?:in|after|for|wait|within)\s+(\d{1,6})\s*(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?)\b",
    re.IGNORECASE,
)
_CLOCK_DELAY = re.compile(
    r"\b(?:in|after|for|wait|within)\s+(?:(\d{1,2}):)?(\d{1,2}):(\d{2})\b", re.IGNORECASE
)


def named_delay(text: str) -> float | None:
    """Return the seconds that an answer asks for (`try again in 300 seconds`, `in 00:05:00`), at most a day."""
    if found := _DELAY.search(text):
        return min(LONGEST_DELAY, max(1.0, float(found[1]) * _UNITS[found[2][0].lower()]))
    if found := _CLOCK_DELAY.search(text):
        hours, minutes, seconds = (int(part or 0) for part in found.groups())
        return min(LONGEST_DELAY, max(1.0, hours * 3600.0 + minutes * 60 + seconds))
    return None


def retry_delay(text: str, *, first: float, attempt: int) -> float:
    """Return the seconds to the next attempt: what the server named, else doubling from `first`."""
    backoff = min(max(first, LONGEST_BACKOFF), first * 2 ** min(attempt - 1, 20))
    return named_delay(text) or backoff


_ADDRESS = re.compile(r"[^\s<>\"'(),:;]+@[^\s<>\"'(),:;]+")


def storable(text: str) -> str:
    """Return an answer as it may be stored: short, printable, without addresses."""
    head = text[: 8 * LONGEST_REPLY]
    printable = "".join(c if c.isprintable() else " " for c in head)
    return " ".join(_ADDRESS.sub("<address>", printable).split())[:LONGEST_REPLY]


_QUEUED = re.compile(r"\bqueued as ([\w.<>@-]{4,200})", re.IGNORECASE)
_OK_ID = re.compile(r"^(?:2\.\d+\.\d+\s+)?ok:?\s+([\w.@-]{8,200})\s*(?:$|-)", re.IGNORECASE)


def provider_message_id(text: str) -> str | None:
    """Return the id under which the accepting server knows the mail, where its answer names one."""
    found = _QUEUED.search(text) or _OK_ID.search(text)
    return found[1].strip("<>.") if found else None
