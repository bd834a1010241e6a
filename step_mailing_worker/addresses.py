"""Parses mail addresses for SMTP: a single addr-spec, its domain in ASCII, its local part unchanged."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_LOCAL = re.compile(r"[^\s\"(),:;<>@\[\]\\.]+(?:\.[^\s\"(),:;<>@\[\]\\.]+)*")
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_LONGEST_LOCAL = 64
_LONGEST = 254


@dataclass(frozen=True)
class Address:
    """A mail address `local@domain`, with the domain in ASCII."""

    local: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"

    @property
    def needs_utf8(self) -> bool:
        """Return whether a server needs SMTPUTF8 to accept it."""
        return not self.local.isascii()


def parse_address(text: str) -> Address:
    """Parse a single bare address; raise ValueError for a list, a display name or a quoted local part."""
    local, _, domain = text.strip().rpartition("@")
    ascii_domain = _ascii_domain(domain)
    fits = len(local.encode()) <= _LONGEST_LOCAL and len(local.encode()) + len(ascii_domain) < _LONGEST
    if not (_LOCAL.fullmatch(local) and _is_printable(local) and fits):
        raise ValueError("not a mail address")
    return Address(local, ascii_domain)


def _is_printable(text: str) -> bool:
    return all(c.isprintable() for c in text) and not text.startswith("=?")


def _ascii_domain(domain: str) -> str:
    labels = [_ascii_label(label) for label in domain.split(".")]
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("not a mail address")
    return ".".join(labels)


def _ascii_label(label: str) -> str:
    # Not with Python's idna codec: it implements IDNA 2003, which maps a domain with an ß to another domain.
    if label.isascii():
        return label
    if not all(c == "-" or unicodedata.category(c)[0] in "LMN" for c in label):
        raise ValueError("not a mail address")
    return "xn--" + unicodedata.normalize("NFC", label.lower()).encode("punycode").decode("ascii")
