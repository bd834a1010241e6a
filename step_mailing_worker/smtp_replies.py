"""Says what a mail server's reply means for a send: its outcome, when to retry, and what is stored of it.

Whose fault a refusal is, `sequence_store.mail.faults` judges.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from sequence_store.domain.states import AttemptReason, Fault, Outcome, Parks, SendReason
from sequence_store.mail.faults import Stage, Verdict, judge, unreadable

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
    """What a reply means: the outcome of the send, the stored reason, and the verdict on a refusal.

    `reason` is that of the verdict, unless the outcome is `expired`: the send is then `refused_today`.
    """

    outcome: Outcome
    reason: AttemptReason | SendReason
    verdict: Verdict | None = None

    @property
    def fault(self) -> Fault | None:
        return self.verdict.fault if self.verdict else None


_ENHANCED = re.compile(r"\s*([245]\.[0-9]{1,3}\.[0-9]{1,3})\b")
_STAGES = {
    Phase.CONNECT: Stage.CONNECT,
    Phase.EHLO: Stage.CONNECT,
    Phase.TLS: Stage.CONNECT,
    Phase.TOKEN: Stage.CONNECT,
    Phase.AUTH: Stage.AUTH,
    Phase.MAIL: Stage.MAIL,
    Phase.RCPT: Stage.RCPT,
    Phase.DATA: Stage.DATA,
    Phase.BODY: Stage.DATA,
    Phase.DOT: Stage.DOT,
}
_ACCEPTED = range(200, 300)
_REFUSED = range(400, 600)


def meaning_of(reply: Reply) -> Meaning:
    """Return what a reply means. An unreadable one is a soft failure, or an unknown outcome after the dot."""
    if reply.code in _REFUSED:
        return _of_refusal(judge(_STAGES[reply.phase], f"{reply.code} {reply.text}"))
    if reply.phase is not Phase.DOT:
        return Meaning(Outcome.SOFT_FAILED, AttemptReason.UNREADABLE_ANSWER, unreadable())
    if reply.code in _ACCEPTED:
        return Meaning(Outcome.SENT, AttemptReason.ACCEPTED)
    return Meaning(Outcome.UNKNOWN, AttemptReason.UNREADABLE_ANSWER)


def _of_refusal(verdict: Verdict) -> Meaning:
    """Return the outcome of a refusal. If another attempt today changes nothing, it waits for a date."""
    if verdict.parks is Parks.NOW:
        return Meaning(Outcome.CANCELLED, verdict.reason, verdict)
    if verdict.temporary or verdict.fault is Fault.CONNECTION:
        return Meaning(Outcome.SOFT_FAILED, verdict.reason, verdict)
    if verdict.fault is Fault.MESSAGE:
        return Meaning(Outcome.CANCELLED, verdict.reason, verdict)
    if verdict.ends_enrolment:
        return Meaning(Outcome.HARD_FAILED, verdict.reason, verdict)
    return Meaning(Outcome.EXPIRED, SendReason.REFUSED_TODAY, verdict)


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
