"""Builds the mail of a send: multipart/alternative with text and HTML, the same bytes for every attempt."""

from __future__ import annotations

from binascii import a2b_qp, b2a_qp
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email import policy
from email.headerregistry import AddressHeader
from email.parser import HeaderParser
from email.utils import format_datetime
from functools import lru_cache
from typing import cast

from sequence_store.domain.addresses import Address, parse_address
from sequence_store.domain.messages import SendKey
from sequence_store.domain.placeholders import is_missing_name
from sequence_store.domain.states import AttemptReason, Fault, MailFormat, SendReason
from sequence_store.errors import TemplateError
from sequence_store.mail.content import Bodies, Person, render_bodies, render_subject, template_names
from sequence_store.mail.message_ids import message_id
from step_mailing_worker import headers
from step_mailing_worker.errors import MailError
from step_mailing_worker.links import MailLinks

_HEADER_PARSER = HeaderParser(policy=policy.compat32)
_MIME_NAMES = frozenset({"MIME-Version", "Content-Type"})


@dataclass(frozen=True)
class MailOrder:
    """The data of a mail, as the claim read them."""

    key: SendKey
    send_at: datetime
    contact_name: str
    contact_address: str
    contact_attributes: Mapping[str, object]
    mail_subject: str | None
    mail_content: str
    thread_subject: str | None
    thread_step_ids: Sequence[int]
    mailbox_address: str
    mailbox_display_name: str | None
    links: MailLinks
    mail_format: str = MailFormat.AUTO.value
    thread_rounds: Sequence[int] = ()  # of each step in thread_step_ids; without them, the mail's own round


@dataclass(frozen=True)
class Mail:
    """A built mail: the envelope, and the content in lines that end with CRLF, not yet dot-stuffed."""

    sender: Address
    recipient: Address
    message_id: str
    content: bytes

    @property
    def needs_utf8(self) -> bool:
        return self.sender.needs_utf8 or self.recipient.needs_utf8

    def smtputf8_error(self) -> MailError:
        """Return the error for a server without SMTPUTF8; it parks the mailbox if the sender needs it."""
        if self.sender.needs_utf8:
            return MailError(AttemptReason.SMTPUTF8_NOT_OFFERED, fault=Fault.MAILBOX)
        return MailError(SendReason.RELAY_LACKS_SMTPUTF8, fault=Fault.RECIPIENT, waits=True)


@dataclass(frozen=True)
class _Parsed:
    """The parts of a mail that a reader sees."""

    header_names: tuple[str, ...]
    sender: tuple[str, str]
    recipient: tuple[str, str]
    subject: str
    bodies: Bodies


def build_mail(order: MailOrder, secret: bytes, *earlier_secrets: bytes) -> Mail:
    """Render and write the mail; raise MailError if a value does not allow it.

    `secret` signs the Message-ID. Earlier mails of the thread may have been signed with one of
    `earlier_secrets`, so they are referred to by each of their possible names. The mail is parsed
    again before it is returned, and must equal its input.
    """
    sender = _address(order.mailbox_address, AttemptReason.MAILBOX_ADDRESS, Fault.MAILBOX)
    recipient = _address(order.contact_address, AttemptReason.CONTACT_ADDRESS, Fault.RECIPIENT)
    own_id = message_id(order.key, sender.domain, secret)
    sender_name = _header(order.mailbox_display_name or "", AttemptReason.MAILBOX_DISPLAY_NAME, Fault.MAILBOX)
    named = "" if is_missing_name(order.contact_name) else order.contact_name
    recipient_name = _header(named, "contact name")
    subject, bodies = _rendered(order)
    earlier = [
        message_id(order.key._replace(step_id=step_id, round=round_), sender.domain, one)
        for step_id, round_ in zip(
            order.thread_step_ids,
            order.thread_rounds or (order.key.round,) * len(order.thread_step_ids),
            strict=True,
        )
        for one in (*earlier_secrets, secret)
    ]
    lines = {
        "From": headers.mailbox(sender_name, sender),
        "To": headers.mailbox(recipient_name, recipient),
        "Subject": headers.text(subject),
        "Date": format_datetime(order.send_at.astimezone(UTC)),
        "Message-ID": own_id,
        **_thread(earlier),
        **_list_unsubscribe(order.links.unsubscribe_url),
    }
    content = _written(lines, bodies, boundary=f"=_{own_id.rpartition('@')[0].rpartition('.')[2]}")
    intended = _Parsed(
        tuple(lines),
        (_without_spaces(sender_name), str(sender)),
        (_without_spaces(recipient_name), str(recipient)),
        subject,
        bodies,
    )
    if not _parses_to(content, intended):
        raise MailError(f"{AttemptReason.MAIL}: reads otherwise than it was written")
    return Mail(sender, recipient, own_id, content)


def _address(value: str, what: str, fault: Fault) -> Address:
    try:
        return parse_address(value)
    except (ValueError, UnicodeError):
        raise MailError(f"{what}: not one mail address", fault=fault) from None


def _header(value: str, what: str, fault: Fault = Fault.MESSAGE) -> str:
    try:
        return headers.checked(value)
    except ValueError as error:
        raise MailError(f"{what}: {error} in a header", fault=fault) from None


def _rendered(order: MailOrder) -> tuple[str, Bodies]:
    """Render the subject and the two bodies."""
    try:
        subject, bodies = _render(order)
    except TemplateError as error:
        reason = AttemptReason.MISSING_VALUE if _renders_with_placeholders(order) else AttemptReason.TEMPLATE
        raise MailError(f"{reason}: {error}") from None
    return _header(subject, AttemptReason.SUBJECT), Bodies(bodies.text, order.links.tracked(bodies.html))


def _render(order: MailOrder, *, with_placeholders: bool = False) -> tuple[str, Bodies]:
    names = template_names(
        Person(order.contact_name, order.contact_address),
        order.contact_attributes,
        Person(order.mailbox_display_name or "", order.mailbox_address),
        unsubscribe_url=order.links.unsubscribe_url,
        with_placeholders=with_placeholders,
    )
    subject = render_subject(order.mail_subject, order.thread_subject, names)
    return subject, render_bodies(order.mail_content, names, order.mail_format)


def _renders_with_placeholders(order: MailOrder) -> bool:
    """Return whether the contact's placeholders alone keep its mail from being made: no fault of the step."""
    try:
        _render(order, with_placeholders=True)
    except TemplateError:
        return False
    return True


def _thread(earlier: Sequence[str]) -> dict[str, str]:
    if not earlier:
        return {}
    return {"In-Reply-To": earlier[-1], "References": headers.folded(earlier)}


def _list_unsubscribe(url: str) -> dict[str, str]:
    return {"List-Unsubscribe": f"<{url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


def _written(lines: Mapping[str, str], bodies: Bodies, *, boundary: str) -> bytes:
    """Write the mail. Quoted-printable never contains `=_`, so no content can contain the boundary."""
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return b"".join(
        (
            head.encode(),
            b"MIME-Version: 1.0\r\n",
            f'Content-Type: multipart/alternative;\r\n boundary="{boundary}"\r\n\r\n'.encode(),
            _part(boundary, "plain", bodies.text),
            _part(boundary, "html", bodies.html),
            f"--{boundary}--\r\n".encode(),
        )
    )


def _part(boundary: str, subtype: str, body: str) -> bytes:
    head = f"--{boundary}\r\n{_part_head(subtype)}\r\n\r\n".encode()
    return head + b2a_qp(body.encode(), istext=True).replace(b"\n", b"\r\n") + b"\r\n"


def _part_head(subtype: str) -> str:
    return f"Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable"


def _parses_to(content: bytes, intended: _Parsed) -> bool:
    try:
        return _read(content) == intended
    except (ValueError, LookupError, AttributeError):  # the mail has other parts or lacks a header
        return False


def _read(content: bytes) -> _Parsed:
    """Parse a mail as a receiver would: its header with the standard library, its parts by the boundary.

    Parsing takes most of the time of building a mail, so only the compared fields are parsed in full.
    """
    head, _, body = content.partition(b"\r\n\r\n")
    read = _HEADER_PARSER.parsestr(head.decode())
    preamble, text, html, epilogue = body.split(f"--{read.get_boundary()}".encode())
    if preamble or epilogue != b"--\r\n":
        raise ValueError("there is text before or after the parts")
    return _Parsed(
        tuple(name for name in read.keys() if name not in _MIME_NAMES),  # noqa: SIM118  # repeats included
        _only_mailbox("From", read["From"]),
        _only_mailbox("To", read["To"]),
        headers.decoded(read["Subject"]),
        Bodies(_content_of(text, "plain"), _content_of(html, "html")),
    )


def _content_of(part: bytes, subtype: str) -> str:
    head, _, body = part.partition(b"\r\n\r\n")
    if head.decode() != f"\r\n{_part_head(subtype)}":
        raise ValueError("a part has an unexpected header")
    return a2b_qp(body.removesuffix(b"\r\n")).decode().replace("\r\n", "\n")


@lru_cache(maxsize=1024)  # the mails of a mailbox share their From
def _only_mailbox(name: str, value: str) -> tuple[str, str]:
    header = cast("AddressHeader", policy.default.header_fetch_parse(name, value))
    addresses = [(_without_spaces(a.display_name), a.addr_spec) for a in header.addresses]
    return addresses[0] if len(addresses) == 1 else ("", "")


def _without_spaces(name: str) -> str:
    """Return a name without white space: Python's parser adds spaces inside a long encoded name."""
    return "".join(name.split())
