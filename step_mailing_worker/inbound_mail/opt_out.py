"""Judges whether a reply asks for no more mail: an opt-out phrase and little else."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from step_mailing_worker.inbound_mail.own_text import above_quotes, plain, without_signature
from step_mailing_worker.inbound_mail.reading import Part, name_in

LONGEST_REQUEST = 1_500  # characters at the start of a text in which a request is looked for
LONGEST_SENTENCE = 300  # characters
LONGEST_WORDS = 45  # a longer text says more than "no more mail"
MOST_OTHER_WORDS = 9  # in the sentences beside the request
_SENTENCE = re.compile(r"[.!;\n\r。！；]+|,(?=\s)|\s[-–—]\s")
_QUESTION = re.compile(r"[?？؟]")
_REPLY_PREFIX = re.compile(
    r"^(?:(?:re|aw|sv|vs|antw|odp|rif|res|fw|fwd|wg|tr|rv|ang|ref|回复|回覆|答复|返信|отв)\s*[:：]\s*)+",
    re.IGNORECASE,
)
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


@dataclass(frozen=True)
class _Language:
    phrase: re.Pattern[str]
    fillers: frozenset[str]
    polite: re.Pattern[str] | None


def asks_to_stop(mail: Part) -> bool:
    """Return whether the sender's own text is a request for no more mail and little else.

    If the text is empty, the subject is read: many people write only "Unsubscribe" there.
    """
    text = above_quotes(mail)
    names = frozenset(plain(f"{name_in(mail.text_of('from'))} {name_in(mail.text_of('to'))}").split())
    if not plain(text[:LONGEST_REQUEST]):
        text = _REPLY_PREFIX.sub("", mail.text_of("subject"))
    # Most replies end here: stripping a signature costs more than all the rest of the judgement.
    elif not _has_request(text[:LONGEST_REQUEST], names):
        return False
    else:
        text = without_signature(text, mail.text_of("from"))
    return says_stop(text, names)


def _has_request(text: str, names: frozenset[str]) -> bool:
    """Return whether a sentence or a paragraph of a text is a request."""
    parts = {*_SENTENCE.split(text), *re.split(r"\n\s*\n|[.!]", text)}
    said = [one for part in parts if len(part) < LONGEST_SENTENCE and (one := plain(part))]
    return any(_is_request(one, language, names) for one in said for language in _languages())


def says_stop(text: str, names: frozenset[str] = frozenset()) -> bool:
    """Return whether a text, without quotes and signature, is an opt-out; `names` do not count as words."""
    if _QUESTION.search(text) or len(text.split()) > LONGEST_WORDS:
        return False
    sentences = [said for part in _SENTENCE.split(text) if (said := plain(part))]
    whole = plain(text)
    if any(_is_request(whole, language, names) for language in _languages()):
        return True
    for language in _languages():
        asking = [said for said in sentences if _is_request(said, language, names)]
        others = [word for said in sentences if said not in asking for word in _words(said, language, names)]
        if asking and len(others) <= MOST_OTHER_WORDS and not _takes_back(others):
            return True
    return False


def _is_request(said: str, language: _Language, names: frozenset[str]) -> bool:
    """Return whether a sentence is a request, apart from fillers and names before and behind it."""
    if language.polite is not None and _CJK.search(said):
        said = language.polite.sub("", said).replace(" ", "")
    if language.phrase.fullmatch(said):
        return True
    words = said.split()
    ignored = language.fillers | names
    start = 0
    while start < len(words):
        end = len(words)
        while end > start:
            if language.phrase.fullmatch(" ".join(words[start:end])):
                return True
            if words[end - 1] not in ignored:
                break
            end -= 1
        if words[start] not in ignored:
            return False
        start += 1
    return False


def _words(said: str, language: _Language, names: frozenset[str]) -> Sequence[str]:
    return [word for word in said.split() if word not in language.fillers and word not in names]


def _takes_back(words: Sequence[str]) -> bool:
    return not _taken_back().isdisjoint(words)


@cache
def _document() -> dict[str, Any]:
    return tomllib.loads(
        (files("step_mailing_worker.inbound_mail") / "opt_out_phrases.toml").read_text(encoding="utf-8")
    )


@cache
def _taken_back() -> frozenset[str]:
    return frozenset(plain(_document()["taken_back"]).split())


@cache
def _languages() -> tuple[_Language, ...]:
    return tuple(_language(row) for row in _document()["languages"].values())


def _language(row: dict[str, Any]) -> _Language:
    phrases = "|".join(f"(?:{phrase})" for phrase in row["phrases"])
    phrases = phrases.replace("{list}", f"(?:{row.get('list', '')})")
    fillers: str = row["fillers"]
    polite = "|".join(re.escape(plain(word)) for word in sorted(fillers.split(), key=len, reverse=True))
    return _Language(
        re.compile(phrases),
        frozenset(plain(fillers).split()),
        re.compile(polite) if _CJK.search(fillers) else None,
    )
