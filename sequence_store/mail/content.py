"""Renders a step's templates for one contact; the worker sends the result and the API previews it."""

from __future__ import annotations

import html
import re
from binascii import b2a_qp
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sequence_store.domain.placeholders import is_missing_name, present
from sequence_store.domain.states import MailFormat
from sequence_store.errors import TemplateError
from sequence_store.mail.html_tokens import Kind, Token
from sequence_store.mail.mail_format import resolved_format
from sequence_store.mail.plain_text import PageReader
from sequence_store.mail.templates import render
from sequence_store.mail.urls import urls_in

_LINE_END = re.compile(r"\r\n?")
_NOTHING_MORE = re.compile(r"(?:\s|</(?:body|html)\s*>)*+", re.IGNORECASE)


@dataclass(frozen=True)
class Person:
    """The contact or the sender of a mail."""

    name: str
    address: str


@dataclass(frozen=True)
class Bodies:
    """The text and the HTML part of a mail, with the same content."""

    text: str
    html: str
    is_html: bool = True  # what the step is


def template_names(
    contact: Person,
    attributes: Mapping[str, object],
    sender: Person,
    *,
    unsubscribe_url: str,
    with_placeholders: bool = False,
) -> dict[str, object]:
    """Return all variables of a template. A name or an attribute that is a placeholder is missing.

    `with_placeholders` keeps them, to find out whether a template fails for them alone.
    """
    named = with_placeholders or not is_missing_name(contact.name)
    return {
        "contact": {
            **({"name": contact.name} if named else {}),
            "mail_address": contact.address,
            "attributes": attributes if with_placeholders else present(attributes),
        },
        "sender": {"name": sender.name or sender.address, "address": sender.address},
        "unsubscribe_url": unsubscribe_url,
    }


def render_subject(own: str | None, of_thread: str | None, names: Mapping[str, object]) -> str:
    """Render the step's own subject, or else that of its thread; raise TemplateError if there is none."""
    source = (own or "").strip() or (of_thread or "").strip()
    try:
        subject = render(source, names, escape=False).strip(" ")
    except TemplateError as error:
        raise TemplateError(f"subject: {error}") from None
    if not subject:
        raise TemplateError("subject: neither the step nor an earlier mail of its thread has one")
    return subject


def render_bodies(
    content: str, names: Mapping[str, object], mail_format: MailFormat | str = MailFormat.AUTO
) -> Bodies:
    """Render both parts; raise TemplateError if the template fails.

    `mail_format` says what the template is; the values that it inserts do not count. An unsubscribe link is
    appended if a reader would see none.
    """
    source = _LINE_END.sub("\n", content)
    is_html = resolved_format(mail_format, source) is MailFormat.HTML
    rendered = _LINE_END.sub("\n", render(source, names, escape=is_html)).rstrip("\n") + "\n"
    url = str(names["unsubscribe_url"])
    if is_html:
        return _html_bodies(rendered, url)
    if not url or url in rendered:
        return Bodies(rendered, html_of_text(rendered), is_html=False)
    text = f"{rendered}\nUnsubscribe: {url}\n"
    return Bodies(text, html_of_text(rendered, end=_link_of(url)), is_html=False)


def _html_bodies(page: str, url: str) -> Bodies:
    """Return both parts of a page. A link to unsubscribe is appended if a reader would see none."""
    read = PageReader(page)
    if not url or read.shows(url):
        return Bodies(read.text, page)
    place = end_of_body(page, read.tokens)
    linked = inserted(page, place, _link_of(url))
    if not read.hides and _NOTHING_MORE.fullmatch(page, place):
        return Bodies(f"{read.text}\nUnsubscribe ({url})\n", linked)  # as reading it again would give
    # A hidden element that nothing ends may hold the link: then it goes first.
    body = next((t.stop for t in read.tokens if t.text == "body" and t.kind is Kind.START), 0)
    for at in (place, body, 0):
        linked = inserted(page, at, _link_of(url))
        read = PageReader(linked)
        if read.shows(url):
            break
    return Bodies(read.text, linked)


def encoded_size(bodies: Bodies) -> int:
    """Return about how many bytes the two parts take in a mail."""
    return sum(len(b2a_qp(part.encode(), istext=True)) for part in (bodies.text, bodies.html))


def end_of_body(page: str, found: Sequence[Token]) -> int:
    """Return the place of the end of a page's body, before whatever the page's end cuts off."""
    body_end = next((t.start for t in found if t.kind is Kind.END and t.text in {"body", "html"}), len(page))
    cut_off = found[-1].start if found and found[-1].kind is Kind.UNENDED else len(page)
    return min(body_end, cut_off)


def inserted(page: str, place: int, element: str) -> str:
    """Insert an element into a page, with a line end."""
    return f"{page[:place]}{element}\n{page[place:]}"


def _link_of(url: str) -> str:
    return f'<p><a href="{html.escape(url)}">Unsubscribe</a></p>'


def html_of_text(text: str, *, end: str = "") -> str:
    """Return the HTML part of a text: its paragraphs and lines, with its URLs as links, then `end`."""
    paragraphs = re.split(r"\n{2,}", _linked(text.strip("\n")))
    lines = [f"<p>{paragraph.replace(chr(10), '<br>' + chr(10))}</p>" for paragraph in paragraphs]
    inner = "\n".join((*lines, end) if end else lines)
    return f"<html><body>\n{inner}\n</body></html>\n"


def _linked(text: str) -> str:
    """Escape a text for HTML; each URL in it becomes a link to exactly that URL."""
    parts, end = [], 0
    for start, stop in urls_in(text):
        url = html.escape(text[start:stop])
        parts += [html.escape(text[end:start], quote=False), f'<a href="{url}">{url}</a>']
        end = stop
    return "".join((*parts, html.escape(text[end:], quote=False)))
