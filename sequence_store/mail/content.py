"""Renders a step's templates for one contact; the worker sends the result and the API previews it."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass

from sequence_store.domain.placeholders import is_missing_name, present
from sequence_store.errors import TemplateError
from sequence_store.mail.plain_text import plain_text_of
from sequence_store.mail.templates import render

_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<!--|<!doctype", re.IGNORECASE)
_LINE_END = re.compile(r"\r\n?")
_BODY_END = re.compile(r"</(?:body|html)\s*>", re.IGNORECASE)


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


def render_bodies(content: str, names: Mapping[str, object]) -> Bodies:
    """Render both parts; raise TemplateError if the template fails.

    Content is HTML if the template has tags, otherwise text; the values do not count. An unsubscribe link is
    appended if the template has none.
    """
    source = _LINE_END.sub("\n", content)
    is_html = _TAG.search(source) is not None
    rendered = _LINE_END.sub("\n", render(source, names, escape=is_html))
    url = str(names["unsubscribe_url"])
    unlinked = bool(url) and url not in rendered
    if is_html:
        page = rendered.rstrip("\n") + "\n"
        page = _with_link(page, url) if unlinked else page
        return Bodies(plain_text_of(page), page)
    text = rendered.rstrip("\n") + "\n"
    if unlinked:
        return Bodies(f"{text}\nUnsubscribe: {url}\n", _with_link(_html_of(text), url))
    return Bodies(text, _html_of(text))


def at_end_of_body(page: str, element: str) -> str:
    """Insert an element at the end of an HTML page's body."""
    body_end = _BODY_END.search(page)
    end = body_end.start() if body_end else len(page)
    return f"{page[:end]}{element}\n{page[end:]}"


def _with_link(page: str, url: str) -> str:
    return at_end_of_body(page, f'<p><a href="{html.escape(url)}">Unsubscribe</a></p>')


def _html_of(text: str) -> str:
    paragraphs = re.split(r"\n{2,}", html.escape(text, quote=False).strip("\n"))
    inner = "\n".join(f"<p>{paragraph.replace(chr(10), '<br>' + chr(10))}</p>" for paragraph in paragraphs)
    return f"<html><body>\n{inner}\n</body></html>\n"
