"""Classifies a mail received by a mailbox: which send it concerns, and what happened to that send.

The Message-ID of a send is signed, so only a recipient of the mail can quote it. Replies (also automatic
ones) quote it in In-Reply-To or References (RFC 5322); bounces and complaints quote it anywhere in their text
(RFC 3464, RFC 5965, and servers that follow neither).
"""

from __future__ import annotations

import email
import hashlib
import re
from dataclasses import dataclass, field
from email import policy
from email.errors import MessageError
from email.message import Message

from sequence_store.domain.messages import SendKey
from sequence_store.domain.states import FeedbackKind
from sequence_store.mail.faults import judge_returned
from sequence_store.mail.message_ids import keys_named_in
from step_mailing_worker import headers


@dataclass(frozen=True)
class Feedback:
    """An event to record for a send; `detail` holds no address and no text of the mail."""

    key: SendKey
    kind: FeedbackKind
    detail: dict[str, object] = field(default_factory=dict)


def feedback_of(content: bytes, *, own_address: str, secret: bytes) -> Feedback | None:
    """Classify a mail; return None if it concerns no known send. Accepts any bytes and raises no error.

    `secret` verifies Message-IDs; mails from `own_address` are not replies.
    """
    try:
        mail = email.message_from_bytes(content, policy=policy.compat32)
        return _read(mail, content.decode("utf-8", "replace"), own_address, secret)
    except (MessageError, ValueError, LookupError, AttributeError, TypeError, RecursionError):
        return None  # the mail cannot be parsed


def _read(mail: Message[str, str], text: str, own_address: str, secret: bytes) -> Feedback | None:
    detail: dict[str, object] = {
        "mail": hashlib.sha256((_header(mail, "Message-ID") or text[:4096]).encode()).hexdigest()[:16]
    }
    report = _report_type(mail)
    if report in {"delivery-status", "feedback-report"} or (report is None and _is_from_a_server(mail)):
        key = next(keys_named_in(text, secret), None)
        if key is None:
            return None
        if report == "feedback-report":
            return Feedback(key, FeedbackKind.COMPLAINT, detail)
        return _bounce(key, text, detail)
    key = next(keys_named_in(f"{_header(mail, 'References')} {_header(mail, 'In-Reply-To')}", secret), None)
    if key is None or own_address.lower() in _header(mail, "From").lower():
        return None
    automatic = report is not None or _is_automatic(mail)
    return Feedback(key, FeedbackKind.AUTO_REPLY if automatic else FeedbackKind.REPLY, detail)


def _header(mail: Message[str, str], name: str) -> str:
    return " ".join(str(mail.get(name) or "").split())


def _report_type(mail: Message[str, str]) -> str | None:
    """Return the report type (such as `delivery-status`), or None if the mail is not a report."""
    if mail.get_content_type() != "multipart/report":
        return None
    stated = str(mail.get_param("report-type") or "").lower()
    inner = {part.get_content_type() for part in mail.walk()}
    if "message/delivery-status" in inner or "message/global-delivery-status" in inner:
        return "delivery-status"
    if "message/feedback-report" in inner:
        return "feedback-report"
    return stated or "unknown"


_SERVERS = re.compile(r"\b(mailer-daemon|postmaster|mail-daemon|mdaemon)@|<>", re.IGNORECASE)


def _is_from_a_server(mail: Message[str, str]) -> bool:
    return _SERVERS.search(f"{_header(mail, 'From')} ") is not None


_ACTION = re.compile(
    r"^Action:\s*(failed|delayed|delivered|relayed|expanded)\b", re.IGNORECASE | re.MULTILINE
)
_STATUS = re.compile(r"^Status:\s*([245]\.\d{1,3}\.\d{1,3})", re.IGNORECASE | re.MULTILINE)
_DIAGNOSTIC = re.compile(r"^Diagnostic-Code:[ \t]*(.*(?:\r?\n[ \t].*)*)", re.IGNORECASE | re.MULTILINE)
# What servers that send no delivery status write: `said: 550 no`, `550 5.1.1 no`, `no mailbox (#5.1.1)`.
_SAID = re.compile(r"\b(?:said|returned|answered):\s*(.*(?:\r?\n[ \t]+\S.*)*)", re.IGNORECASE)
_REPLY = re.compile(r"(?<!\d)([45]\d\d[ -](?:#?[45]\.\d{1,3}\.\d{1,3}\b).*)")
_MARKED = re.compile(r"^(.*\(#([45]\.\d{1,3}\.\d{1,3})\).*)", re.MULTILINE)
_REPLY_CODE = re.compile(r"(?:[\w-]+;\s*)?([45]\d\d)\b")


def _bounce(key: SendKey, text: str, detail: dict[str, object]) -> Feedback:
    """Classify a bounce by the reply that it quotes, so that both have the same effect."""
    action = _ACTION.search(text)
    if action and action[1].lower() in {"delivered", "relayed", "expanded"}:
        return Feedback(key, FeedbackKind.DELIVERY, detail)
    status, diagnostic = _quoted(text)
    if status:
        detail["status"] = status
    if diagnostic and (code := _REPLY_CODE.match(diagnostic)):
        detail["code"] = code[1]
    if action and action[1].lower() == "delayed":
        return Feedback(key, FeedbackKind.SOFT_BOUNCE, detail)
    verdict = judge_returned(status, diagnostic)
    kind = FeedbackKind.BOUNCE if verdict.ends_enrolment else FeedbackKind.SOFT_BOUNCE
    return Feedback(key, kind, {**detail, **verdict.consequences})


def _quoted(text: str) -> tuple[str | None, str | None]:
    """Return the status and the diagnostic of a bounce, from its most specific field."""
    status, diagnostic = _STATUS.search(text), _DIAGNOSTIC.search(text)
    if status or diagnostic:
        return status and status[1], diagnostic and diagnostic[1]
    if marked := _MARKED.search(text):
        return marked[2], marked[1]
    found = _SAID.search(text) or _REPLY.search(text)
    return None, found and found[1]


_AUTOMATIC_SUBJECT = re.compile(
    r"^(auto(matic)?[ -]?(reply|response|antwort)|automatische antwort|out of (the )?office|abwesen|"
    r"réponse automatique|respuesta automática|risposta automatica|autosvar|automatisch antwoord)",
    re.IGNORECASE,
)


def _is_automatic(mail: Message[str, str]) -> bool:
    """Return whether a program wrote the mail (RFC 3834, and older headers for the same purpose)."""
    submitted = _header(mail, "Auto-Submitted").lower()
    if submitted:
        return not submitted.startswith("no")
    if any(mail.get(name) for name in ("X-Autoreply", "X-Autorespond", "X-Autoresponder")):
        return True
    if _header(mail, "Precedence").lower() in {"auto_reply", "bulk", "junk"}:
        return True
    if _header(mail, "Return-Path") == "<>":
        return True
    return _AUTOMATIC_SUBJECT.match(headers.decoded(_header(mail, "Subject"))) is not None
