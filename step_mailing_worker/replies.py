"""What a server's answer means: whose fault it is, and what becomes of the send."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sequence_store.states import Fault, Outcome

MAX_REPLY = 200
MAX_RETRY_SECONDS = 3600

# Enhanced codes (RFC 3463, IANA's registry, providers' pages) that speak of the sender, though they are 5xx.
MAILBOX_CODES = (
    "5.4.5",
    "5.7.232",
    "5.7.233",
    "5.1.90",
    "5.7.30",
    "5.7.3",
    "5.7.8",
    "5.7.9",
    "5.7.0",
    "4.3.2",
    "4.7.",
)
SENDER_CODES = ("5.7.",)  # policy and authentication of the sender's domain: 5.7.26, 5.7.515 …
MESSAGE_CODES = ("5.3.4", "5.6.", "5.2.3")
SOFT_THOUGH_5XX = ("5.2.2",)  # mailbox full

_ENHANCED = re.compile(r"^([245]\.\d{1,3}\.\d{1,3})\b")
_ADDRESS = re.compile(r"[^\s<>()\[\]\"]+@[^\s<>()\[\]\"]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_DELAY = re.compile(r"(?:in|after)\s+(\d{1,5})\s*(second|minute|sec|min)", re.IGNORECASE)


@dataclass(frozen=True)
class Reply:
    """A server's answer at a command (`MAIL`, `RCPT`, `DATA`, `AUTH`, `CONNECT`); code 0: no answer."""

    command: str
    code: int
    text: str = ""

    @property
    def enhanced_code(self) -> str | None:
        found = _ENHANCED.match(self.text)
        return found.group(1) if found else None

    @property
    def scrubbed(self) -> str:
        """The answer as it may be stored: short, without control characters and addresses."""
        return _ADDRESS.sub("<address>", _CONTROL.sub(" ", self.text))[:MAX_REPLY]


@dataclass(frozen=True)
class Meaning:
    """What finish_send is told."""

    outcome: Outcome
    fault: Fault
    reason: str


def classify(reply: Reply) -> Meaning:  # noqa: PLR0911  (a table, a line a row)
    """Return whose fault a refusal is; only the recipient's costs the contact anything."""
    enhanced = reply.enhanced_code or ""
    if reply.code == 0:
        return Meaning(Outcome.SOFT_FAILED, Fault.CONNECTION, "no_connection")
    if reply.command == "AUTH" or enhanced.startswith(MAILBOX_CODES):
        return Meaning(Outcome.CANCELLED, Fault.MAILBOX, f"mailbox refused: {reply.code} {enhanced}".strip())
    if reply.command == "CONNECT":
        return Meaning(Outcome.SOFT_FAILED, Fault.CONNECTION, "connection_refused")
    if 400 <= reply.code < 500 or enhanced in SOFT_THOUGH_5XX:  # noqa: PLR2004
        domain = reply.command == "MAIL" or enhanced.startswith("4.4.")
        return Meaning(Outcome.SOFT_FAILED, Fault.DOMAIN if domain else Fault.RECIPIENT, "refused_for_now")
    if enhanced.startswith(MESSAGE_CODES):
        return Meaning(Outcome.CANCELLED, Fault.MESSAGE, f"message refused: {enhanced}")
    if enhanced.startswith(SENDER_CODES) or reply.command == "MAIL":
        return Meaning(Outcome.CANCELLED, Fault.MAILBOX, f"sender refused: {reply.code} {enhanced}".strip())
    if reply.command == "DATA" and not enhanced.startswith(("5.1.", "5.2.")):
        return Meaning(Outcome.CANCELLED, Fault.MESSAGE, f"message refused: {reply.code} {enhanced}".strip())
    return Meaning(Outcome.HARD_FAILED, Fault.RECIPIENT, "refused_for_good")


def retry_seconds(reply: Reply, attempt: int, first: int) -> int:
    """Return the delay until the next attempt: the server's own wish, or a growing one; at most an hour."""
    wish = _DELAY.search(reply.text)
    if wish:
        seconds = int(wish.group(1)) * (60 if wish.group(2).lower().startswith("min") else 1)
        return max(1, min(seconds, MAX_RETRY_SECONDS))
    return min(first * 2 ** min(attempt - 1, 10), MAX_RETRY_SECONDS)
