"""Recognises the columns of a file by their names, which are data: columns.toml and opt_outs.toml."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from crud_api.imports.opt_outs import OptOutColumn, OptOutKind
from sequence_store.domain.states import SuppressionReason

_PUNCTUATION = re.compile(r"[\W_]+")
_ENTITY = re.compile(r"(contact|person|lead|subscriber)s?(?=.)")


def letters(name: str) -> str:
    """Return the form in which names are compared: letters and digits only, without case."""
    return _PUNCTUATION.sub("", unicodedata.normalize("NFKC", name)).casefold()


def contact_columns(*, opt_outs: bool) -> Mapping[str, Sequence[str]]:
    """Return the names of each field of a contact, with those of our own opt-outs or without them."""
    data = _data("columns")
    return {**data["fields"], **({**data["own_opt_out"], "optOut": ()} if opt_outs else {})}


def suppression_columns() -> Mapping[str, Sequence[str]]:
    """Return the names of each field of a suppression."""
    return {"mailAddress": _data("columns")["fields"]["mailAddress"], "reason": ("reason",)}


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
