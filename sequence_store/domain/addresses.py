"""Checks mail addresses: what may be entered, what may be planned, and what may be mailed.

check_entered_address   the API and its imports: what a person may enter. The strictest rule: the domain must
                        be fully qualified.
is_valid_address        the planner, an SQL function (migrations/functions/addresses.sql): only the shape, so
                        that a plan of millions excludes what is not an address. SQL may enter contacts too.
parse_address           the worker: what SMTP can carry. It accepts underscores and domains without a dot.

Whatever the first or the last accepts, the planner accepts too (tests/sequence_store/test_addresses.py).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

HOST_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
HOST_NAME = re.compile(rf"{HOST_LABEL}(\.{HOST_LABEL})*")
_ENTERED_LOCAL = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(\.[\w!#$%&'*+/=?^`{|}~-]+)*")
_LOCAL = re.compile(r"[^\s\"(),:;<>@\[\]\\.]+(?:\.[^\s\"(),:;<>@\[\]\\.]+)*")
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_LONGEST_LOCAL = 64
_LONGEST_DOMAIN = 253
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


def check_entered_address(value: str) -> str:
    """Return the address unchanged; raise ValueError, with a message for people, if it may not be entered."""
    local, at, domain = value.rpartition("@")
    if not at or len(local.encode()) > _LONGEST_LOCAL or not _ENTERED_LOCAL.fullmatch(local):
        raise ValueError("must be a mail address, such as ada@example.com")
    try:
        ascii_domain = domain.encode("idna").decode("ascii")
    except UnicodeError:
        ascii_domain = ""
    if len(ascii_domain) > _LONGEST_DOMAIN or not HOST_NAME.fullmatch(ascii_domain):
        raise ValueError("must be a mail address with a valid domain")
    if "." not in domain:
        raise ValueError("must be a mail address with a fully qualified domain")
    return value


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
