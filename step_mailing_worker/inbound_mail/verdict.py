"""Judges a mail that a mailbox received: what it is, which send it concerns, and what follows.

The Message-ID of a send is signed, so only a recipient of the mail can quote it. Replies (also automatic
ones) quote it in In-Reply-To or References (RFC 5322); bounces and complaints quote it in the mail that they
return (RFC 3464, RFC 5965, and servers that follow neither).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime

from sequence_store.domain.addresses import address_or_text
from sequence_store.domain.messages import SendKey
from sequence_store.domain.states import MailKind
from sequence_store.mail.faults import Verdict as FaultVerdict
from sequence_store.mail.message_ids import keys_named_in
from step_mailing_worker.inbound_mail import absence, automatic, opt_out, returned_mail
from step_mailing_worker.inbound_mail.reading import Part, address_in, read_mail

_COMPLAINTS = frozenset({"abuse", "fraud", "phishing", "unknown"})
_OPT_OUTS = frozenset({"opt-out", "opt-out-list", "unsubscribe"})
_UNSUBSCRIBES = re.compile(
    r"(?:^|[-+=._])(?:(?:list-?)?unsub(?:scribe)?|opt-?out)(?:[-+=._]|$)", re.IGNORECASE
)
_LISTS = (
    "list-id",
    "list-unsubscribe",
    "list-post",
    "precedence",
    "auto-submitted",
    "feedback-id",
    "x-campaign-id",
)


@dataclass(frozen=True)
class MailVerdict:
    """What a mail is. `detail` holds no address and no text of the mail."""

    kind: MailKind
    send: SendKey | None
    why: str
    until: date | None = None  # an automatic reply: the last day of the absence, if it names one
    away: bool = False  # an automatic reply: somebody is away
    left: bool = False  # an automatic reply: somebody has left the company
    delivered: bool = False  # a report: the mail was delivered
    sender: str = ""  # the address in From; never stored
    fresh: bool = False  # without a key: a person wrote it, so the sender's address may tell the contact
    fault: FaultVerdict | None = None  # a bounce: whose fault it is
    detail: dict[str, object] = field(default_factory=dict)


def judge_mail(content: bytes, *, own_address: str | None, secrets: Sequence[bytes]) -> MailVerdict:
    """Judge a mail. Accepts any bytes and raises no error.

    `own_address` is the mailbox's; None takes the address in To. `secrets` verify Message-IDs.
    """
    try:
        return _judge(read_mail(content), own_address, secrets)
    except (ValueError, LookupError, AttributeError, TypeError, RecursionError, OverflowError) as error:
        key = next(_keys(content.decode("utf-8", "replace"), secrets), None)
        return MailVerdict(MailKind.UNREADABLE, key, f"the mail cannot be parsed ({type(error).__name__})")


def _judge(mail: Part, own_address: str | None, secrets: Sequence[bytes]) -> MailVerdict:
    sender = address_in(mail.text_of("from"))
    if not mail.fields:
        key = next(_keys(mail.text, secrets), None)
        return MailVerdict(MailKind.UNREADABLE, key, "the mail has no header")
    return (
        _of_a_server(mail, secrets)
        or _addressed_to_nobody(mail, sender, own_address, secrets)
        or _answer(mail, sender, secrets)
    )


def _of_a_server(mail: Part, secrets: Sequence[bytes]) -> MailVerdict | None:
    """Judge a report: a complaint or a bounce."""
    reported = returned_mail.feedback_type(mail)
    if reported is not None:
        return _complaint(mail, reported, secrets)
    report = None if returned_mail.is_receipt(mail) else returned_mail.report_of(mail)
    return None if report is None else _bounce(mail, report, secrets)


def _addressed_to_nobody(
    mail: Part, sender: str, own_address: str | None, secrets: Sequence[bytes]
) -> MailVerdict | None:
    """Judge a mail of our own, and one to an unsubscribe address."""
    own = own_address or address_in(mail.text_of("to"))
    if sender and address_or_text(sender).lower() == address_or_text(own).lower():
        return MailVerdict(MailKind.OWN, None, "the mailbox's own address sent it")
    if _is_unsubscribe(mail):
        key = next((key for value in _addressed(mail) for key in _keys(value, secrets)), None) or _answered(
            mail, secrets
        )
        return MailVerdict(
            MailKind.UNSUBSCRIBE, key, "it is addressed to an unsubscribe address", sender=sender
        )
    return None


def _answer(mail: Part, sender: str, secrets: Sequence[bytes]) -> MailVerdict:
    """Judge a mail of a person or of a program that answers for one."""
    key = _answered(mail, secrets)
    why = "it is a receipt" if returned_mail.is_receipt(mail) else automatic.why_automatic(mail)
    if why is not None:
        return _automatic(mail, key, why, sender)
    if key is None and (nobody := _of_a_list(mail) or ("" if sender else "it names no sender")):
        return MailVerdict(MailKind.NONE, None, nobody)
    if opt_out.asks_to_stop(mail):
        return MailVerdict(
            MailKind.OPT_OUT, key, "it asks for no more mail", sender=sender, fresh=key is None
        )
    why = "it answers a mail of ours" if key else "a person wrote it, and it names no mail of ours"
    return MailVerdict(MailKind.REPLY, key, why, sender=sender, fresh=key is None)


def _complaint(mail: Part, reported: str, secrets: Sequence[bytes]) -> MailVerdict:
    key = _returned(mail, secrets)
    if reported in _OPT_OUTS:
        return MailVerdict(MailKind.OPT_OUT, key, f"a report of the type {reported}")
    if reported in _COMPLAINTS:
        return MailVerdict(MailKind.COMPLAINT, key, f"a report of the type {reported}")
    return MailVerdict(MailKind.NONE, key, f"a report of the type {reported} is no complaint")


def _bounce(mail: Part, report: returned_mail.Report, secrets: Sequence[bytes]) -> MailVerdict:
    key = _returned(mail, secrets)
    if report.action in {"delivered", "relayed", "expanded"}:
        return MailVerdict(MailKind.NONE, key, f"a report that the mail was {report.action}", delivered=True)
    if report.action == "deliverable":
        return MailVerdict(MailKind.NONE, key, "a report that the address could be reached")
    fault = report.verdict
    detail = _codes(report)
    if report.action == "delayed":
        return MailVerdict(MailKind.SOFT_BOUNCE, key, "the delivery is delayed", detail=detail)
    kind = MailKind.HARD_BOUNCE if fault.ends_enrolment else MailKind.SOFT_BOUNCE
    return MailVerdict(kind, key, fault.why, fault=fault, detail={**detail, **fault.consequences})


def _codes(report: returned_mail.Report) -> dict[str, object]:
    code = re.match(r"(?:[\w-]+\s*;)?\s*([45]\d\d)\b", report.diagnostic or "")
    return {
        **({"status": report.status} if report.status else {}),
        **({"code": code[1]} if code else {}),
    }


def _automatic(mail: Part, key: SendKey | None, why: str, sender: str) -> MailVerdict:
    if key is None and (mail.raw("list-id") or mail.raw("list-unsubscribe")):
        return MailVerdict(MailKind.NONE, None, "a list or a campaign sent it")
    said = automatic.said_by(mail)
    if said.left:
        why = f"{why}; it says that the person has left"
    until = absence.last_day(mail, written_at(mail)) if said.away else None
    return MailVerdict(
        MailKind.AUTO_REPLY, key, why, until=until, away=said.away, left=said.left, sender=sender
    )


def written_at(mail: Part) -> datetime:
    """Return when the mail says that it was written, in UTC; now if it does not say."""
    try:
        at = parsedate_to_datetime(mail.raw("date"))
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return datetime.now(UTC)


def _of_a_list(mail: Part) -> str | None:
    """Return why a mail that names no mail of ours is not a person's fresh mail."""
    for name in _LISTS:
        if mail.raw(name):
            return f"it names no mail of ours and carries {name.title()}"
    if any(part.content_type == "text/calendar" for part in mail.walk(into_mails=False)):
        return "it names no mail of ours and is an invitation"
    if re.match(r"report domain:", mail.text_of("subject"), re.IGNORECASE):
        return "it is a DMARC report"
    if mail.content_type == "multipart/report":
        return "it is a report that concerns no mail of ours"
    return None


def _addressed(mail: Part) -> Iterator[str]:
    for name in ("to", "delivered-to", "x-original-to", "envelope-to", "subject"):
        yield mail.all_raw(name)


def _is_unsubscribe(mail: Part) -> bool:
    for name in ("to", "delivered-to", "x-original-to", "envelope-to"):
        if _UNSUBSCRIBES.search(address_in(mail.text_of(name)).partition("@")[0]):
            return True
    return False


def _answered(mail: Part, secrets: Sequence[bytes]) -> SendKey | None:
    """Return the send that a mail answers: the last one that References or In-Reply-To names."""
    return next(_keys(f"{mail.all_raw('references')} {mail.all_raw('in-reply-to')}", secrets), None)


def _returned(mail: Part, secrets: Sequence[bytes]) -> SendKey | None:
    """Return the send whose mail a report returns."""
    return next(
        (key for text in returned_mail.texts_naming_sends(mail) for key in _keys(text, secrets)), None
    )


def _keys(text: str, secrets: Sequence[bytes]) -> Iterator[SendKey]:
    return keys_named_in(text, *secrets)
