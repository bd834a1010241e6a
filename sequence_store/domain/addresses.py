"""Decides what a mail address is, and returns its canonical form. Every program asks this module.

canonical_address   the API, imports, suppressions, the sample loader, the commands, the planner and the
                    worker: one spelling for all spellings of an address, which is stored, hashed, compared
                    and mailed.
is_valid_address    the planner, an SQL function (migrations/functions/addresses.sql): only the shape, so that
                    a plan of millions excludes what is not an address. It accepts whatever the first accepts.

The canonical form is `local@domain`. An internationalised domain is the A-label of IDNA 2008 with UTS 46, in
lower case, so `bücher.example`, `BÜCHER.example`, its decomposed spelling and `xn--bcher-kva.example` are one
address. The local part is in NFC. Comparisons ignore the case of ASCII letters, so it stays as written; a
local part with other letters is in lower case, because a database's `lower` depends on its locale.

Before that, full-width characters are folded to the ordinary ones and invisible characters are removed. What
still looks like another character is refused.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

import idna
from email_validator import EmailNotValidError, validate_email

from sequence_store.domain.invisible import without_invisible

HOST_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
HOST_NAME = re.compile(rf"{HOST_LABEL}(\.{HOST_LABEL})*")

# Accepts a subset of the rule, all of it canonical: the common case, without the library. Labels with two
# hyphens at their third character are left to the library, and so are the names that RFC 6761 reserves.
PLAIN_ADDRESS = re.compile(
    r"[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*"
    r"@(?:(?![a-z0-9]{2}--)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+"
    r"(?!(?:arpa|invalid|local|localhost|onion)\Z)[a-z]{2,63}",
    re.IGNORECASE | re.ASCII,
)
PLAIN_LENGTH = 64  # also ensures that the part before the @ is not longer than 64

_LONGEST_LOCAL = 64
_LONGEST = 254
_LONGEST_ENTERED = 1_000
_ASCII_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_FOLDED = re.compile("[\u3000\u3002\ufe50-\ufe6b\uff01-\uffdc\uffe0-\uffee]")
# Marks that look like a dot and have no decomposition to one (Unicode's confusables.txt).
_DOTS = frozenset("\u0701\u0702\u2027\u30fb\ua4f8\ua60e\U00010a50\U0001d16d\u00b7\u2022\u2219\u22c5")
_JOINER = re.compile("[\u200c\u200d]")
_FINAL_SIGMA = re.compile(r"σ(?![^\W\d_])")
_INNER_SIGMA = re.compile(r"ς(?=[^\W\d_])")

_NOT_ONE = "must be a mail address, such as ada@example.com"
_BAD_DOMAIN = "must be a mail address with a valid domain"
_NO_PUBLIC_DOMAIN = "must be a mail address with a fully qualified domain"


@dataclass(frozen=True)
class Address:
    """A mail address `local@domain` in canonical form, with the domain in ASCII."""

    local: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"

    @property
    def needs_utf8(self) -> bool:
        """Return whether a server needs SMTPUTF8 to accept it."""
        return not self.local.isascii()


class EnteredAddress(str):
    """The canonical form of an address that a person or a program wrote, with what was written."""

    __slots__ = ("written",)
    written: str

    @property
    def other_spelling(self) -> str | None:
        """Return what was written, or None if it is the canonical form."""
        return self.written if self.written != self else None


def entered_address(value: str) -> EnteredAddress:
    """Return the canonical form of an address and what was written; raise ValueError as above."""
    address = EnteredAddress(canonical_address(value))
    address.written = value.strip()
    return address


def canonical_address(value: str) -> str:
    """Return the canonical form of an address; raise ValueError, with a message for people, if it is none."""
    if len(value) <= PLAIN_LENGTH and PLAIN_ADDRESS.fullmatch(value):
        return value
    return str(_canonical(value))


def address_or_text(value: str) -> str:
    """Return the canonical form of an address, or a text that is none unchanged: for lookups."""
    try:
        return canonical_address(value)
    except ValueError:
        return value


def parse_address(text: str) -> Address:
    """Return the two parts of an address that SMTP needs; raise ValueError if `canonical_address` does."""
    try:
        local, _, domain = canonical_address(text).rpartition("@")
    except ValueError:
        raise ValueError("not a mail address") from None
    return Address(local, domain)


def _canonical(value: str) -> Address:
    if len(value) > _LONGEST_ENTERED:
        raise ValueError(_NOT_ONE)
    text = _folded(value)
    local, at, domain = text.rpartition("@")
    if not at or not local or "@" in local:
        raise ValueError(_NOT_ONE)
    lookalike = next((c for c in text if c in _DOTS), None)
    if lookalike:
        raise ValueError(f"must not contain {lookalike}, which looks like a dot (U+{ord(lookalike):04X})")
    return Address(_canonical_local(local), _canonical_domain(domain, local))


def _folded(value: str) -> str:
    """Return the text with full-width and small forms as ordinary characters, and without invisible ones."""
    if value.isascii():
        return value.strip()
    joined = _encoded_joiners(value) if _JOINER.search(value) else value
    folded = _FOLDED.sub(lambda found: _ordinary(found[0]), without_invisible(joined))
    return unicodedata.normalize("NFC", folded.strip())


def _encoded_joiners(value: str) -> str:
    """Encode a domain in which a joiner has a meaning (RFC 5892): without it, it is another domain."""
    local, at, domain = value.rpartition("@")
    if not _JOINER.search(domain):
        return value
    try:
        return f"{local}{at}{idna.encode(domain.strip(), uts46=True).decode('ascii')}"
    except UnicodeError:  # idna's errors are of this kind
        return value


def _ordinary(character: str) -> str:
    return unicodedata.normalize("NFKC", character).replace("\u3002", ".")


def _canonical_local(local: str) -> str:
    if local.isascii():
        if not _is_ascii_local(local):
            raise ValueError(_NOT_ONE)
        return local
    for character in local:
        plain = unicodedata.normalize("NFKC", character)
        if plain != character and unicodedata.normalize("NFC", character) == character:
            raise ValueError(
                f"must not contain {character}, which looks like {plain} (U+{ord(character):04X})"
            )
    lower = _INNER_SIGMA.sub("σ", "".join(character.lower() for character in local))
    lower = unicodedata.normalize("NFC", _FINAL_SIGMA.sub("ς", lower))
    if "=?" in lower or len(lower.encode("utf-8", "replace")) > _LONGEST_LOCAL:
        raise ValueError(_NOT_ONE)
    try:
        validate_email(f"{lower}@example.com", check_deliverability=False)
    except EmailNotValidError:
        raise ValueError(_NOT_ONE) from None
    return lower


def _is_ascii_local(local: str) -> bool:
    return len(local) <= _LONGEST_LOCAL and _ASCII_LOCAL.fullmatch(local) is not None and "=?" not in local


def _canonical_domain(domain: str, local: str) -> str:
    try:
        checked = validate_email(f"a@{domain}", check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        dotless = "." not in domain and HOST_NAME.fullmatch(domain)
        raise ValueError(_NO_PUBLIC_DOMAIN if dotless else _BAD_DOMAIN) from None
    found, top = checked.ascii_domain, checked.domain.rpartition(".")[2]
    if "." not in found:
        raise ValueError(_NO_PUBLIC_DOMAIN)
    if len(top) == 1 or not _fits(local, found):
        raise ValueError(_BAD_DOMAIN)
    return domain if domain.lower() == found and "xn--" not in found else found


def _fits(local: str, domain: str) -> bool:
    return len(local.encode()) + 1 + len(domain) <= _LONGEST
