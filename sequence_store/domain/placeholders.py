"""Decides whether a text is a placeholder, which stands for a missing value; placeholders.toml lists them.

A placeholder as a name is never greeted: templates see it as missing, and so do the mail's headers.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from sequence_store.domain.invisible import without_invisible

# {{ name }}, {name}, {% … %}, *|FNAME|*, %FNAME%, [[name]], [First Name], <<name>>, ${name}, #{name}
_MERGE_TAG = re.compile(
    r".*\{\{.*|.*\}\}.*|.*\{%.*%\}.*|.*[$#]\{.*\}.*|\{[^{}]*\}|.*\*\|.*\|\*.*|%+[\w .-]+%+"
    r"|\[\[.*\]\]|\[[\w .-]+\]|<<.*>>|\{!.*\}|&lt;.*&gt;",
    re.DOTALL,
)
_CASED = frozenset({"Na", "Nan", "Nat", "NAN", "NAT"})  # names of people, unlike NA and NaN
_PUNCTUATION = re.compile(r"[\W_]+")
_BLANKS = re.compile(r"\s+")


def is_missing_name(name: str) -> bool:
    """Return whether a name is empty or a placeholder."""
    if name.isascii() and name.replace(" ", "").isalnum() and "  " not in name:  # a short way for most names
        return name.strip().lower() in _short_words() and name.strip() not in _CASED
    text = _comparable(name)
    says_nothing = all(
        unicodedata.category(character)[0] in "PZ" or character in "+=$^`|~<>" for character in text
    )
    return says_nothing or text.casefold() in _names() or is_missing_value(name)


def is_missing_value(text: str) -> bool:
    """Return whether a text is a placeholder wherever it stands. A value such as `unknown` or `-` is one."""
    bare = _comparable(text)
    return bare in _exact() or bare.casefold() in _everywhere() or _MERGE_TAG.fullmatch(bare) is not None


def present(attributes: Mapping[str, object]) -> dict[str, object]:
    """Return the attributes without the placeholders, of those that templates use like a name.

    An attribute of any other name is free text, and stays as it is.
    """
    return {name: value for name, value in attributes.items() if not _is_missing(name, value)}


def _is_missing(attribute: str, value: object) -> bool:
    letters = _PUNCTUATION.sub("", attribute).casefold()
    if letters in _attributes("name_attributes"):
        return value is None or (isinstance(value, str) and is_missing_name(value))
    return letters in _attributes("text_attributes") and isinstance(value, str) and is_missing_value(value)


def _comparable(text: str) -> str:
    shown = text if text.isascii() else unicodedata.normalize("NFKC", without_invisible(text))
    return _BLANKS.sub(" ", shown.strip().strip("\"'").strip())


@cache
def _data() -> dict[str, list[str]]:
    return tomllib.loads((files("sequence_store.domain") / "placeholders.toml").read_text(encoding="utf-8"))


@cache
def _everywhere() -> frozenset[str]:
    return frozenset(text.casefold() for text in _data()["everywhere"])


@cache
def _exact() -> frozenset[str]:
    return frozenset(_data()["exact"])


@cache
def _names() -> frozenset[str]:
    return frozenset(text.casefold() for text in _data()["names"])


@cache
def _short_words() -> frozenset[str]:
    return _names() | _everywhere() | frozenset(text.casefold() for text in _exact())


@cache
def _attributes(group: str) -> frozenset[str]:
    return frozenset(_PUNCTUATION.sub("", name).casefold() for name in _data()[group])
