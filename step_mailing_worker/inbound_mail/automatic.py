"""Judges whether a program wrote a mail, and what an automatic reply says of its sender.

Header fields decide first, then the subject, which must be one of the phrases in automatic_subjects.toml: a
person who writes about an absence stays a person.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from step_mailing_worker.inbound_mail.own_text import text_of, unaccented
from step_mailing_worker.inbound_mail.reading import Part

_REPLY = re.compile(r"(?:re|aw|sv|vs|antw|odp|rif|res|fw|fwd|wg|tr|rv)\s*:")
LONGEST_TEXT = 3_000  # characters of an automatic reply that are read


@dataclass(frozen=True)
class Said:
    """What an automatic reply says of its sender."""

    away: bool
    left: bool


def why_automatic(mail: Part) -> str | None:
    """Return by what a program is known to have written the mail; None if a person did."""
    submitted = mail.raw("auto-submitted").lower().strip()
    if submitted:
        return None if submitted.startswith("no") else "Auto-Submitted says so"
    for name, value in _headers():
        if any(value.fullmatch(" ".join(one.split())) for one in mail.fields.get(name, ())):
            return f"the header field {name} says so"
    if is_automatic_subject(mail.text_of("subject")):
        return "the subject is that of an automatic reply"
    return None


def is_automatic_subject(subject: str) -> bool:
    """Return whether a decoded subject is one of an automatic reply in any language."""
    said = _bare(subject[:400])
    if not said:
        return False
    prefixes, wholes, patterns = _subjects()
    found = re.match(r"[\s\[(<{*#«\"'【［]*(.*?)\s*([\])>}*»\"'】］]|[:：]|$)", said)
    if found and found[1].rstrip(" .!") in prefixes:
        return True
    return said.strip(" .!*[]()\"'-") in wholes or (
        _REPLY.match(said) is None and any(pattern.search(said) for pattern in patterns)
    )


def said_by(mail: Part) -> Said:
    """Return what an automatic reply says of its sender: that somebody is away, or has left the company."""
    subject = unaccented(mail.text_of("subject"))
    text = unaccented(text_of(mail)[:LONGEST_TEXT])
    away, ticket, left = _phrases()
    both = f"{subject} \n {text}"
    if left.search(both):
        return Said(away=False, left=True)
    if ticket.search(subject):
        return Said(away=False, left=False)
    if away.search(both):
        return Said(away=not ticket.search(text) or bool(away.search(subject)), left=False)
    oof = (
        "oof" in mail.raw("x-auto-response-suppress").lower()
        or "x-ms-exchange-inbox-rules-loop" in mail.fields
    )
    vacation = "vacation" in mail.raw("auto-submitted").lower()
    return Said(away=(oof or vacation) and not ticket.search(text), left=False)


def _bare(subject: str) -> str:
    return (
        unaccented(subject).replace("-", " ").replace("\u2010", " ").replace("\u2011", " ").replace("  ", " ")
    )


@cache
def _headers() -> tuple[tuple[str, re.Pattern[str]], ...]:
    rows = _document("automatic_headers.toml")["header"]
    return tuple(
        (row["name"].lower(), re.compile(row.get("value", ".+"), re.IGNORECASE | re.DOTALL)) for row in rows
    )


@cache
def _subjects() -> tuple[frozenset[str], frozenset[str], tuple[re.Pattern[str], ...]]:
    """Return the phrases that text may follow, those that are a whole subject, and the patterns."""
    document = _document("automatic_subjects.toml")
    prefixes = {_bare(phrase) for row in document["language"] for phrase in row["prefix"]}
    wholes = {_bare(phrase) for row in document["language"] for phrase in row.get("whole", ())}
    patterns = tuple(re.compile(row["regex"]) for row in document["pattern"])
    return frozenset(prefixes), frozenset(wholes | prefixes), patterns


@cache
def _phrases() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """Return the patterns of an absence, of a ticket system's answer, and of somebody who has left."""
    document = _document("absences.toml")
    away, ticket, left = (
        re.compile("|".join(unaccented(phrase) for phrase in document[name]))
        for name in ("away", "ticket", "left")
    )
    return away, ticket, left


def _document(name: str) -> dict[str, Any]:
    return tomllib.loads((files("step_mailing_worker.inbound_mail") / name).read_text(encoding="utf-8"))
