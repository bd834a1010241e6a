"""Splits an HTML page into tags and text, as the HTML standard's tokenizer does (WHATWG HTML, 13.2.5).

It keeps the place of everything in the source, so that a page can be changed at one place and stay the same,
byte for byte, everywhere else. Scripting is off, as in mail programs. A property test compares it with
Lexbor, a browser's parser, which keeps no places.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from enum import Enum, auto
from functools import cache
from html.entities import html5
from typing import NamedTuple


class Kind(Enum):
    TEXT = auto()
    START = auto()
    END = auto()
    COMMENT = auto()  # also doctypes and what the standard calls bogus comments
    UNENDED = auto()  # a comment, a tag or an element of raw text that the page's end cuts off


class Attribute(NamedTuple):
    """An attribute: `value` is its meaning; `start` and `stop` enclose it in the source, with quotes."""

    name: str
    value: str
    start: int
    stop: int


class Token(NamedTuple):
    """A piece of the page: source[start:stop]; `text` is a tag's name in lower case, or what a text means."""

    kind: Kind
    start: int
    stop: int
    text: str = ""


VOID = frozenset("area base br col embed hr img input link meta param source track wbr".split())
_RAW = frozenset("script style xmp iframe noembed noframes".split())  # the text in them has no entities
_ESCAPABLE = frozenset({"title", "textarea"})
_TEXT_ONLY = _RAW | _ESCAPABLE | {"plaintext"}

# Possessive and atomic groups (`*+`, `(?>`): a hostile page is read once and never searched again.
_SPACE = r"\t\n\f\r "
_VALUE = rf"""(?>"[^"]*+"|'[^']*+'|[^{_SPACE}>"'][^{_SPACE}>]*+|(?=>))"""
_ATTRIBUTE_NAME = rf"(?>=[^{_SPACE}/>=]*+|[^{_SPACE}/>=]++)"
_EQUALS = rf"[{_SPACE}]*+=[{_SPACE}]*+"
_ATTRIBUTES = rf"(?>[{_SPACE}/]++|{_ATTRIBUTE_NAME}(?>{_EQUALS}{_VALUE}|(?![{_SPACE}]*+=)))*+"
_OPENING = re.compile(r"<(?=[a-zA-Z/!?])")
_TEXT_AND_TAG = re.compile(rf"([^<]*+)<(/?)([a-zA-Z][^{_SPACE}/>]*+){_ATTRIBUTES}>")
_COMMENT = re.compile(r"<!--(?:-?>|.*?--!?>)", re.DOTALL)
_BOGUS = re.compile(r"<(?:[!?]|/(?![a-zA-Z]))[^>]*+>")
_ATTRIBUTE = re.compile(rf"({_ATTRIBUTE_NAME})(?:{_EQUALS}({_VALUE}))?+")
_UPPER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def tokens(page: str) -> Iterator[Token]:
    """Yield the page's tokens in order; together they are the whole page."""
    at, end = 0, len(page)
    while at < end:
        found = _TEXT_AND_TAG.match(page, at)  # what pages mostly are
        start = found.end(1) if found else _text_end(page, at)
        if start > at:
            yield Token(Kind.TEXT, at, start, html.unescape(page[at:start]))
        if start == end:
            return
        token = _tag(found, start) if found else _without_tag(page, start)
        yield token
        at = token.stop
        if token.text in _TEXT_ONLY and token.kind is Kind.START:
            inside = _raw_text(page, token)
            yield inside
            at = inside.stop


def attributes_of(page: str, tag: Token) -> Iterator[Attribute]:
    """Yield a tag's attributes in order; of several with one name, browsers use the first."""
    at = tag.start + 1 + len(tag.text) + (tag.kind is Kind.END)
    for part in _ATTRIBUTE.finditer(page, at, tag.stop - 1):
        raw = part[2] or ""
        inner = raw[1:-1] if raw[:1] in {'"', "'"} else raw
        start, stop = part.span(2) if raw else (part.end(), part.end())
        yield Attribute(part[1].translate(_UPPER), attribute_value(inner), start, stop)


def attribute_of(page: str, tag: Token, name: str) -> Attribute | None:
    """Return the first attribute of this name; None if the tag has none."""
    if name not in page[tag.start : tag.stop].lower():
        return None
    return next((attribute for attribute in attributes_of(page, tag) if attribute.name == name), None)


def value_of(page: str, tag: Token, name: str) -> str | None:
    """Return the value of the first attribute of this name; None if the tag has none."""
    attribute = attribute_of(page, tag, name)
    return attribute.value if attribute else None


def _tag(found: re.Match[str], start: int) -> Token:
    name = found[3]
    lower = name.lower() if name.isascii() else name.translate(_UPPER)
    return Token(Kind.END if found[2] else Kind.START, start, found.end(), lower)


def _text_end(page: str, at: int) -> int:
    found = _OPENING.search(page, at)
    return found.start() if found else len(page)


def _without_tag(page: str, start: int) -> Token:
    """Return the token at a `<` that begins no whole tag, or the tag if text with a `<` stood before it."""
    if found := _TEXT_AND_TAG.match(page, start):
        return _tag(found, start)
    comment = (_COMMENT if page.startswith("<!--", start) else _BOGUS).match(page, start)
    if comment:
        return Token(Kind.COMMENT, start, comment.end())
    return Token(Kind.UNENDED, start, len(page))


def _raw_text(page: str, tag: Token) -> Token:
    """Return the text of an element that holds no tags, up to its end tag."""
    end = None if tag.text == "plaintext" else _end_of(tag.text).search(page, tag.stop)
    if end is None:
        return Token(Kind.UNENDED, tag.start, len(page))
    text = page[tag.stop : end.start()]
    return Token(Kind.TEXT, tag.stop, end.start(), html.unescape(text) if tag.text in _ESCAPABLE else text)


@cache
def _end_of(name: str) -> re.Pattern[str]:
    return re.compile(rf"</{name}(?=[{_SPACE}/>])", re.IGNORECASE)


_REFERENCE = re.compile(r"&(?:#[0-9]+;?|#[xX][0-9a-fA-F]+;?|([a-zA-Z][a-zA-Z0-9]*;?))(=?)")


def attribute_value(source: str) -> str:
    """Return what an attribute's source means.

    A name without a semicolon is left alone before `=`, a letter or a digit: `?a=1&copy=2` is a URL.
    """
    return _REFERENCE.sub(_referenced, source) if "&" in source else source


def _referenced(found: re.Match[str]) -> str:
    name, equals = found[1], found[2]
    if name is None:
        return html.unescape(found[0])
    for length in range(len(name), 1, -1):
        if name[:length] in html5:
            if name[length - 1] != ";" and (length < len(name) or equals) and name[length:] != ";":
                return found[0]
            return html5[name[:length]] + name[length:] + equals
    return found[0]
