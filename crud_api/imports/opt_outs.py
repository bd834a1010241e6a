"""Reads the cells of columns that say that a contact does not want mail; opt_outs.toml has the words."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache, lru_cache
from importlib.resources import files

from sequence_store.domain.invisible import without_invisible
from sequence_store.domain.states import SuppressionReason

_SEPARATORS = re.compile(r"(?<=\w)[_\s-]+(?=\w)|\s+")
_LIST = re.compile(r"\[(.*)\]", re.DOTALL)
_DATE = re.compile(
    r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2}))"
    r"(?:[ T,]+\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?\s*(?:[ap]\.?m\.?)?\s*(?:Z|UTC|GMT|[+-]\d{2}:?\d{2})?)?",
    re.IGNORECASE,
)
_DATE_IN_WORDS = re.compile(
    r"(?:[A-Z][a-z]{2,8},? )?"
    r"(?:\d{1,2}\.? [A-Z][a-zä-ü]{2,9}\.?,? \d{4}|[A-Z][a-zä-ü]{2,9}\.? \d{1,2},? \d{4})(?:[ ,].*)?"
)
_EPOCH = re.compile(r"1\d{9}|1\d{12}")  # seconds or milliseconds, from 2001 on
_NEVER = re.compile(r"(?:0{4}-0{2}-0{2}|1970-01-01)(?:[ T]0{2}:0{2}(?::0{2})?(?:\.0+)?(?:Z|\+00:?00)?)?")
_SPELLED = (
    "%d.%m.%Y",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%b %d, %Y",
    "%B %d, %Y",
    "%d %b %Y",
    "%d %B %Y",
)


class OptOutKind(StrEnum):
    """How the cells of a column are read."""

    FLAG = "flag"
    CONSENT = "consent"
    STATUS = "status"
    WORDS = "words"


@dataclass(frozen=True)
class OptOut:
    """That a contact does not want mail: the reason of its suppression, and the time if it is known."""

    reason: str
    at: datetime | None = None


@dataclass(frozen=True)
class OptOutColumn:
    """A column of a file that says whether a contact wants mail."""

    position: int
    name: str
    kind: OptOutKind
    reason: SuppressionReason

    def read(self, cell: str) -> OptOut | None:
        """Return the opt-out that the cell states, or None; raise ValueError if it is no clear yes or no."""
        return read_cell(cell, self.kind, self.reason) if cell else None


@lru_cache(maxsize=4096)
def read_cell(cell: str, kind: OptOutKind, reason: SuppressionReason) -> OptOut | None:
    """Return the opt-out that a cell states, or None; raise ValueError if it is no clear yes or no."""
    value = normalized(cell)
    yes, no, words = _vocabulary()
    if not value:
        return None
    if items := _LIST.fullmatch(value):
        return _first(items[1], kind, reason)
    if value in words:
        found = words[value]
        return OptOut(found) if found else None
    if value in yes or value in no:
        return _answer(yes=value in yes, kind=kind, reason=reason)
    if kind is OptOutKind.FLAG and _is_date(cell.strip()):
        return OptOut(reason, read_time(cell))
    if kind is OptOutKind.WORDS or (kind is OptOutKind.CONSENT and _is_date(cell.strip())):
        return None
    raise ValueError("must say yes or no, or when, or be empty")


def says_yes(cell: str) -> bool | None:
    """Return whether a cell says yes or no, in any of the languages of opt_outs.toml; None if neither."""
    yes, no, _ = _vocabulary()
    value = normalized(cell)
    return value in yes if value in yes or value in no else None


def normalized(cell: str) -> str:
    """Return a cell in the form in which its words are compared."""
    text = without_invisible(unicodedata.normalize("NFKC", cell)).strip().casefold()
    if _NEVER.fullmatch(text.upper()):
        return ""
    return _SEPARATORS.sub(" ", text)


def read_time(cell: str) -> datetime | None:
    """Return the time in a cell, or None if it has none or an ambiguous one. Without a zone it is in UTC."""
    text = cell.strip()
    if _EPOCH.fullmatch(text):
        return datetime.fromtimestamp(int(text[:10]), UTC)
    for parse in (datetime.fromisoformat, *(_parser(form) for form in _SPELLED)):
        try:
            found = parse(text)
            return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        except (ValueError, OverflowError):
            continue
    return None


def _parser(form: str):  # type: ignore[no-untyped-def]  # noqa: ANN202
    return lambda text: datetime.strptime(text, form)  # noqa: DTZ007  # read_time adds the zone


def _answer(*, yes: bool, kind: OptOutKind, reason: SuppressionReason) -> OptOut | None:
    match kind:
        case OptOutKind.FLAG:
            return OptOut(reason) if yes else None
        case OptOutKind.CONSENT:
            return None if yes else OptOut(reason)
        case OptOutKind.WORDS:
            return None
        case OptOutKind.STATUS:
            raise ValueError("must be a status, such as subscribed or unsubscribed")


def _first(items: str, kind: OptOutKind, reason: SuppressionReason) -> OptOut | None:
    """Return the first opt-out of a list, such as Klaviyo's `["UNSUBSCRIBE"]`."""
    cells = [item.strip(" '\"") for item in items.split(",")]
    return next((found for cell in cells if cell and (found := read_cell(cell, kind, reason))), None)


def _is_date(text: str) -> bool:
    return any(pattern.fullmatch(text) for pattern in (_DATE, _DATE_IN_WORDS, _EPOCH))


@cache
def _vocabulary() -> tuple[frozenset[str], frozenset[str], dict[str, str | None]]:
    """Return the words for yes and for no, and the words of a status with the reason that each gives."""
    data = tomllib.loads((files("crud_api.imports") / "opt_outs.toml").read_text(encoding="utf-8"))
    words: dict[str, str | None] = {}
    for group, of_group in data["words"].items():
        reason = None if group == "not_opted_out" else SuppressionReason(group).value
        words |= {normalized(word): reason for word in of_group}
    words |= {normalized(word): None for word in data["values"]["none"]}
    yes, no = (frozenset(normalized(word) for word in data["values"][name]) for name in ("yes", "no"))
    return yes, no, words
