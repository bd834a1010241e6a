"""Recognises the columns of a file by their names, which are data: columns.toml and opt_outs.toml."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from crud_api.imports.opt_outs import OptOutColumn, OptOutKind
from sequence_store.domain.invisible import without_invisible
from sequence_store.domain.states import SuppressionReason

MAIL_ADDRESS, FURTHER_MAIL_ADDRESS = "mailAddress", "furtherMailAddress"
NAME, FIRST_NAME, LAST_NAME = "name", "firstName", "lastName"
NAME_OR_FIRST, NAME_OR_LAST = "nameOrFirstName", "nameOrLastName"
OPT_OUT = "optOut"  # the field of a column that the request names as one
REASON = "reason"
OWN_OPT_OUT = ("suppressed", "suppressionReason", "suppressedAt")

# The fields that a request may name, by the kind of its file; the first one stands in messages.
CONTACT_FIELDS = (MAIL_ADDRESS, NAME, FIRST_NAME, LAST_NAME, "isActive", "attributes", "mailAddressWritten")
SUPPRESSION_FIELDS = (MAIL_ADDRESS, REASON)

LONGEST_NAME = 255  # a longer one is none of a column

_PUNCTUATION = re.compile(r"[\W_]+")
_ENTITY = re.compile(r"(contact|person|lead|subscriber)s?(?=.)")
_REMARK = re.compile(r"[(\[（【].*?[)\]）】]")
_DIGITS = re.compile(r"\d+")
_PARTS = frozenset({MAIL_ADDRESS, FURTHER_MAIL_ADDRESS, FIRST_NAME, LAST_NAME})


@dataclass(frozen=True)
class KnownColumn:
    """What a column of this name holds; `family_first` is whether it precedes a first name."""

    field: str
    family_first: bool = False


def letters(name: str) -> str:
    """Return the form in which names are compared: letters and digits only, without case."""
    return _PUNCTUATION.sub("", unicodedata.normalize("NFKC", without_invisible(name))).casefold()


def known_column(name: str) -> KnownColumn | None:
    """Return what a column of this name holds in a file of contacts, or None if the name is not known."""
    return _known_column(name) if len(name) <= LONGEST_NAME else None


@lru_cache(maxsize=4096)
def _known_column(name: str) -> KnownColumn | None:
    known = _known()
    for form, is_further in _forms(name):
        found = known.get(form)
        if found is None or (is_further and found.field != MAIL_ADDRESS):
            continue
        return KnownColumn(FURTHER_MAIL_ADDRESS) if is_further else found
    return None


def _forms(name: str) -> Iterator[tuple[str, bool]]:
    """Yield the forms of a name, and whether the form lacks a number from 2 on: a further one of its kind."""
    data = _data("columns")
    bare = letters(name)
    yield bare, False
    yield (short := letters(_REMARK.sub(" ", name))), False
    for word in data["ignored_before"]:
        if len(short) > len(word) and short.startswith(word):
            yield short.removeprefix(word), False
    for word in data["ignored_before_parts"]:
        rest = short.removeprefix(word)
        if rest not in ("", short) and rest in _known() and _known()[rest].field in _PARTS:
            yield rest, False
    if numbers := _DIGITS.findall(short):
        yield _DIGITS.sub("", short), numbers != ["1"]


@cache
def _known() -> dict[str, KnownColumn]:
    data = _data("columns")
    found: dict[str, KnownColumn] = {}
    for group in data["columns"]:
        column = KnownColumn(group["field"], group.get("family_name_first", False))
        for name in group["names"]:
            found.setdefault(letters(name), column)
    return found


@cache
def own_opt_outs() -> Mapping[str, str]:
    """Return the fields of our own opt-outs by the letters of their names."""
    return {
        letters(name): field for field, names in _data("columns")["own_opt_out"].items() for name in names
    }


def find_opt_outs(names: Sequence[str]) -> list[OptOutColumn]:
    """Return the columns of a file that say that a contact does not want mail."""
    found = ((position, name, _kind_of(letters(name))) for position, name in enumerate(names))
    return [OptOutColumn(position, name, *kind) for position, name, kind in found if kind]


def chosen_opt_out(position: int, name: str) -> OptOutColumn:
    """Return the column that the request names as one."""
    return OptOutColumn(position, name, OptOutKind.FLAG, SuppressionReason.OPTED_OUT)


def _kind_of(name: str) -> tuple[OptOutKind, SuppressionReason] | None:
    exact, prefixes = _opt_outs()
    for one in (name, _ENTITY.sub("", name, count=1) if _ENTITY.match(name) else name):
        if one in exact:
            return exact[one]
        for prefix, kind in prefixes.items():
            if one.startswith(prefix):
                return kind
    return None


@cache
def _opt_outs() -> tuple[
    dict[str, tuple[OptOutKind, SuppressionReason]], dict[str, tuple[OptOutKind, SuppressionReason]]
]:
    exact: dict[str, tuple[OptOutKind, SuppressionReason]] = {}
    prefixes: dict[str, tuple[OptOutKind, SuppressionReason]] = {}
    for column in _data("opt_outs")["columns"]:
        kind = (
            OptOutKind(column["kind"]),
            SuppressionReason(column.get("reason", SuppressionReason.OPTED_OUT)),
        )
        exact |= {letters(name): kind for name in column["names"]}
        prefixes |= {letters(prefix): kind for prefix in column.get("prefixes", ())}
    return exact, prefixes


@cache
def _data(name: str) -> dict[str, Any]:
    return tomllib.loads((files("crud_api.imports") / f"{name}.toml").read_text(encoding="utf-8"))
