"""Reads the mail address in a cell as people and programs write it.

`Ada Lovelace <ada@example.com>`, `mailto:ada@example.com`, `ada@example.com;`, `"ada@example.com"`, several
addresses in one cell. What is not an address in the end is refused by the rule for addresses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from sequence_store.domain.addresses import canonical_address
from sequence_store.domain.invisible import without_invisible

LONGEST = 2_000  # a longer cell is no address, and not searched for one
SEVERAL = "several addresses; the first one was taken"

_NAMED = re.compile(r"(?P<name>[^<>]*)<\s*(?P<address>[^<>]*)>[\s.,;]*", re.DOTALL)
_IN_BRACKETS = re.compile(
    r"(?P<name>[^()\[\]@<>]*)[(\[]\s*(?P<address>[^()\[\]<>\s]+@[^()\[\]<>\s]+)\s*[)\]]"
)
_REMARK = re.compile(r"\s+[(\[][^()\[\]]*[)\]]\Z")  # ada@example.com (work)
_MAILTO = re.compile(r"\s*(?:mailto|e-?mail|smtp)\s*:\s*", re.IGNORECASE)
_SEPARATORS = re.compile(r"\s*(?:[;,|\r\n\t]|:::|\s/\s)\s*")
_QUOTES = "\"'`\u2018\u2019\u201c\u201d\u201e\u201a\u00ab\u00bb\u2039\u203a"
_AROUND = _QUOTES + " \t\r\n\0\x1a\xa0\u3000"
_AFTER = ".,;:" + _AROUND


@dataclass(frozen=True)
class MailCell:
    """An address of a cell without what surrounds it; the name beside it, or empty; other addresses."""

    address: str
    name: str = ""
    others: tuple[str, ...] = ()


def read_mail_cell(cell: str) -> MailCell:
    """Return the address in a cell; the whole cell if it holds none, which the rule for addresses refuses.

    Of several addresses the first counts, if all of them are addresses.
    """
    if len(cell) > LONGEST:
        return MailCell(cell)
    text = without_invisible(cell).strip(_AROUND)
    found = _read_one(text)
    if is_address(found.address):
        return found
    parts = [part for part in _parts(text) if part.strip(_AFTER)]
    if len(parts) > 1:
        several = [_read_one(part) for part in parts]
        if all(is_address(one.address) for one in several):
            first, *others = dict.fromkeys(one.address for one in several)
            return MailCell(first, several[0].name, tuple(others))
    if len(parts) == 1:
        return _read_one(parts[0])
    return found


def is_address(text: str) -> bool:
    try:
        canonical_address(text)
    except ValueError:
        return False
    return True


def _parts(text: str) -> list[str]:
    """Divide a cell at its separators, except in quotes or brackets: `"Hopper, Grace" <g@x.com>`."""
    if "<" in text:
        named = re.findall(r"(?:\"[^\"]*\"|[^<>;\r\n\"])*<[^<>]*>", text)
        rest = re.sub(r"(?:\"[^\"]*\"|[^<>;\r\n\"])*<[^<>]*>", ";", text).strip(_AFTER + "|/")
        return [part.lstrip(" ,;|\r\n\t") for part in named] if not rest else [text]
    parts = _SEPARATORS.split(text)
    if len(parts) == 1 and text.count("@") > 1:
        parts = text.split()
    return parts


def _read_one(text: str) -> MailCell:
    name = ""
    if named := _NAMED.fullmatch(text) or _IN_BRACKETS.fullmatch(text):
        name, text = named["name"].strip(_AFTER), named["address"]
        name = "" if "@" in name else name
    bare = _MAILTO.sub("", text.strip(_AROUND), count=1)
    if bare != text.strip(_AROUND):
        bare = unquote(bare.partition("?")[0])
    bare = _REMARK.sub("", bare.strip(_AROUND))
    return MailCell(bare.strip(_AROUND + "<>").rstrip(_AFTER), name)
