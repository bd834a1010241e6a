"""Builds a send's mail: the same bytes whenever the same send is built again."""

from __future__ import annotations

import hashlib
import hmac
import html
import re
from email import message_from_bytes, policy
from email.headerregistry import Address
from email.message import EmailMessage
from html.parser import HTMLParser

from liquid import Environment, StrictUndefined
from liquid.exceptions import LiquidError

from sequence_store.messages import SendKey
from step_mailing_worker.errors import MessageFault
from step_mailing_worker.store import Claimed

MAX_OUTPUT = 500_000
_HTML = re.compile(r"</?[a-zA-Z][^<>]*>")
_FORBIDDEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028\u2029]|=\?"
)  # also RFC 2047's encoded words (CVE-2024-6923)


class _Liquid(Environment):
    loop_iteration_limit = 10_000
    output_stream_limit = MAX_OUTPUT
    context_depth_limit = 30


_TEXT = _Liquid(undefined=StrictUndefined)
_MARKUP = _Liquid(undefined=StrictUndefined, autoescape=True)


def build_mail(send: Claimed, key: SendKey, secret: bytes) -> EmailMessage:
    """Return the mail; raise MessageFault with a reason that holds nothing of the contact."""
    message = EmailMessage(policy=policy.SMTP)
    try:
        _set_headers(message, send, key, secret)
        _set_content(message, send)
    except (ValueError, IndexError, UnicodeError) as error:
        raise MessageFault(f"cannot be built: {type(error).__name__}") from None
    _compare(message)
    return message


def message_id(key: SendKey, domain: str, secret: bytes) -> str:
    """Return the send's Message-ID: of its key alone, so that any step knows its predecessors'."""
    digest = hmac.new(secret, ".".join(map(str, key)).encode(), hashlib.sha256).hexdigest()[:32]
    return f"<{digest}@{domain}>"


def _set_headers(message: EmailMessage, send: Claimed, key: SendKey, secret: bytes) -> None:
    domain = send.mailbox_address.rpartition("@")[2]
    subject = _render(_TEXT, send.mail_subject or send.thread_subject or "", send)
    message["From"] = Address(_safe(send.mailbox_display_name or ""), addr_spec=_safe(send.mailbox_address))
    message["To"] = Address(_safe(send.contact_name), addr_spec=_safe(send.contact_address))
    message["Subject"] = _safe(subject)
    message["Date"] = send.send_at
    message["Message-ID"] = message_id(key, domain, secret)
    if earlier := [
        message_id(key._replace(step_id=step), domain, secret) for step in send.thread_step_ids or []
    ]:
        message["In-Reply-To"] = earlier[-1]
        message["References"] = " ".join(earlier)


def _set_content(message: EmailMessage, send: Claimed) -> None:
    if not _HTML.search(send.mail_content):
        message.set_content(_render(_TEXT, send.mail_content, send))
        return
    markup = _render(_MARKUP, send.mail_content, send)
    message.set_content(plain_text(markup))
    message.add_alternative(markup, subtype="html")


def _render(environment: Environment, template: str, send: Claimed) -> str:
    try:
        return environment.from_string(template).render(
            contact={
                "name": send.contact_name,
                "mail_address": send.contact_address,
                "attributes": send.contact_attributes,
            },
            sender={"name": send.mailbox_display_name or "", "address": send.mailbox_address},
            unsubscribe_url="",
        )
    except (LiquidError, RecursionError) as error:
        raise MessageFault(f"template: {type(error).__name__}: {error}"[:150]) from None


def _safe(value: str) -> str:
    if _FORBIDDEN.search(value):
        raise MessageFault("a header value holds control characters or an encoded word")
    return value


def _compare(message: EmailMessage) -> None:
    """Refuse what another program would read differently: serialise, parse again, compare."""
    parsed = message_from_bytes(message.as_bytes(), policy=policy.SMTP)
    if sorted(parsed.keys()) != sorted(message.keys()) or any(
        str(parsed[name]) != str(message[name]) for name in ("From", "To", "Subject", "Message-ID")
    ):
        raise MessageFault("its headers do not survive being read again")


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.links.append(dict(attrs).get("href") or "")
        elif tag in ("br", "p", "div", "li", "tr", "h1", "h2", "h3"):
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self.links and (link := self.links.pop()):
            self.parts.append(f" ({link})")
        elif tag in ("p", "div"):
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        self.parts.append(re.sub(r"\s+", " ", data))


def plain_text(markup: str) -> str:
    """Return HTML as text: paragraphs as lines, links behind their words."""
    reader = _Text()
    reader.feed(markup)
    reader.close()
    return re.sub(r"\n[ \n]*\n", "\n\n", html.unescape("".join(reader.parts))).strip() + "\n"
