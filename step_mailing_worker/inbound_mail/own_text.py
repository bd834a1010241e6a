"""Finds what the sender wrote: the text of a mail without quotes, signature and the mail below it.

The library mail-parser-reply knows how mail programs introduce quotes and signatures in many languages. Its
patterns are slow on long texts, so only the first LONGEST characters are read.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Any

from step_mailing_worker.inbound_mail.reading import Part, name_in

LONGEST = 6_000  # characters

_LANGUAGES = ("en", "de", "fr", "es", "it", "pt", "nl", "sv", "da", "pl", "cs", "he", "ja", "ko", "zh")
_QUOTE = re.compile(r"^[ \t]*[>|].*$", re.MULTILINE)
# What the library's patterns leave: a date and an address that introduce a quote, in any language.
_INTRODUCTION = re.compile(
    r"^[^\n]{0,200}\d{1,4}[^\n]{0,200}(?:<[^<>\n]*@[^<>\n]*>|\S+@\S+|\b\w+)[^\n]{0,60}:[ \t]*\n(?=\s*>)",
    re.MULTILINE,
)
_ORIGINAL = re.compile(
    r"^\s*(?:[-_*=]{5,}|[-_]{2,} ?(?:original|ursprüngliche|forwarded|mensaje|"
    r"message|messaggio|oorspronkelijk|"
    r"ursprungligt|oprindelig|wiadomość|původní|исходное|пересылаемое|元の|原始)[^\n]{0,60}|"
    r"(?:from|von|de|da|van|från|fra|od|от|差出人|发件人|寄件者|보낸 사람)\s?:\s[^\n]*@[^\n]*|-- ?)\s*$",
    re.IGNORECASE | re.MULTILINE,
)


def text_of(mail: Part) -> str:
    """Return the text of a mail: its first plain part that has text, else its HTML part as plain text."""
    html = ""
    for part in mail.walk(into_mails=False):
        if "attachment" in part.raw("content-disposition").lower():
            continue
        if part.content_type == "text/plain" and part.text.strip():
            return part.text
        if part.content_type == "text/html" and not html:
            html = part.text
    return html


def above_quotes(mail: Part) -> str:
    """Return the text of a mail above what it quotes; its signature is still there."""
    text = text_of(mail)[:LONGEST].replace("\u00a0", " ").replace("\u200b", "")
    text = _INTRODUCTION.split(text, maxsplit=1)[0]
    text = _ORIGINAL.split(text, maxsplit=1)[0]
    return _above_quote(_QUOTE.sub("\0", text))


def without_signature(text: str, sender: str) -> str:
    """Return a text without its signature and without quotes that are introduced in words.

    `sender` is the header From: a line with the sender's name begins the signature.
    """
    if text.strip():
        text = str(_parser().read(text).replies[0].body)
    return _above_name(text, name_in(sender)).strip()


def _above_quote(text: str) -> str:
    """Return the text before the first quoted line, or after it if nothing stands before it."""
    before, quote, after = text.partition("\0")
    return before if before.strip() or not quote else after.replace("\0", "")


@cache
def _parser() -> Any:
    from mailparser_reply import EmailReplyParser

    return EmailReplyParser(languages=list(_LANGUAGES))


def _above_name(text: str, name: str) -> str:
    """Cut a text at a line that is the sender's name: below stands its signature."""
    words = plain(name).split()
    if not words:
        return text
    lines = text.split("\n")
    for place, line in enumerate(lines):
        said = plain(line).split()
        if place and said and said in (words, words[:1], list(reversed(words))):
            return "\n".join(lines[:place])
    return text


def plain(text: str) -> str:
    """Return text in lower case, without accents and punctuation, words separated by one blank."""
    letters = _without_accents(text)
    letters = (
        letters.replace("ß", "ss").replace("ø", "o").replace("ł", "l").replace("æ", "ae").replace("đ", "d")
    )
    return " ".join(
        "".join(c if c.isalnum() else " " for c in unicodedata.normalize("NFKC", letters)).split()
    )


def unaccented(text: str) -> str:
    """Return text in lower case without accents, with its punctuation; white space becomes one blank."""
    letters = _without_accents(text.replace("\u2019", "'"))
    return " ".join(unicodedata.normalize("NFKC", letters).split())


_VOICED = "\u3099\u309a"  # without them, Japanese syllables become other ones


def _without_accents(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.lower())
    return "".join(c for c in decomposed if c in _VOICED or not unicodedata.combining(c))
