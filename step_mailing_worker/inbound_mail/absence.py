"""Reads the last day of an absence from its notice, such as `returning 05 Jan 2027`: 2027-01-04.

Finds a phrase of return_dates.toml and reads the date behind it with dateparser. A numeric date that could
be read in two ways is ignored.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any

from step_mailing_worker.inbound_mail.own_text import text_of, unaccented
from step_mailing_worker.inbound_mail.reading import Part

LONGEST_TEXT = 2_500  # characters
MOST_DATES = 12  # that are parsed: parsing one takes about a millisecond
MONTHS = 12
LONGEST_ABSENCE = timedelta(days=550)  # a date further away is another date, such as a birthday

_WORDS: dict[str, list[str]] = tomllib.loads(
    (files("step_mailing_worker.inbound_mail") / "date_words.toml").read_text(encoding="utf-8")
)
_MONTH = "(?:" + "|".join(sorted(_WORDS["months"], key=len, reverse=True)) + r")[\w]{0,10}\.?"
_WEEKDAY = "|".join(_WORDS["weekdays"])
_ARTICLES = "|".join(_WORDS["articles"])
_DAY = r"\d{1,2}(?:st|nd|rd|th|er|\.|º|°|a|e|:e)?"
_CJK_DATE = r"(?:\d{4}[年년]\s?)?\d{1,2}[月월]\s?\d{1,2}[日일号號]"
_DATE = re.compile(
    rf"(?P<iso>\d{{4}}-\d{{1,2}}-\d{{1,2}})|(?P<cjk>{_CJK_DATE})|"
    rf"(?P<numeric>\d{{1,2}}(?P<sep>[./-])\s?\d{{1,2}}(?:(?P=sep)\s?(?:\d{{4}}|\d{{2}}))?\.?)(?![\d:])|"
    rf"(?P<words>{_DAY}(?:\s(?:of|de|do|of the))?[\s-]{_MONTH}(?:,?[\s-](?:de\s|del\s)?(?:\d{{4}}))?|"
    rf"{_MONTH}\s{_DAY}(?:,?\s\d{{4}})?)(?![\w])|(?P<soon>{'|'.join(_WORDS['tomorrow'])})\b|"
    rf"(?P<weekday>(?:(?:{'|'.join(_WORDS['next'])}) )?\b(?:{_WEEKDAY})\b)"
)
_GAP = (
    rf"[\s:,(]*(?:(?:{_WEEKDAY})\b[\s,.]*(?:(?:{_ARTICLES}|d\.)\s)?(?=\d|{_MONTH}\s?\d))?"
    rf"(?:(?:{_ARTICLES}|on) )?"
)
_CJK_BACK = re.compile(rf"{_CJK_DATE}(?=[^\n。]{{0,8}}(?:{'|'.join(_WORDS['cjk_back'])}))")
_CJK_UNTIL = re.compile(
    rf"(?:(?:{'|'.join(_WORDS['cjk_to'])})\s?{_CJK_DATE})|{_CJK_DATE}(?=\s?(?:{'|'.join(_WORDS['cjk_until'])}))"
)


@dataclass(frozen=True)
class _Cue:
    pattern: re.Pattern[str]
    back: bool
    order: str
    language: str


def last_day(mail: Part, at: datetime) -> date | None:
    """Return the last day of the absence that the notice names; None if it names none.

    `at` is when the mail was written: a date without a year is the next one. The subject is read first.
    """
    for text in (mail.text_of("subject"), text_of(mail)[:LONGEST_TEXT]):
        if found := _last_day_in(unaccented(text), at):
            return found
    return None


def _last_day_in(text: str, at: datetime) -> date | None:
    named: list[date] = []
    for found, back, order, language in list(_dates(text))[:MOST_DATES]:
        day = _read(found, order, language, at)
        if day is not None:
            named.append(day - timedelta(days=1) if back else day)
    later = [day for day in named if -1 <= (day - at.date()).days <= LONGEST_ABSENCE.days]
    return max(later, default=None)


def _dates(text: str) -> Iterator[tuple[re.Match[str] | str, bool, str, str]]:
    """Yield dates behind a phrase: the match, whether it is the first day back, order and language."""
    seen: set[tuple[int, int]] = set()
    for found in _CJK_BACK.finditer(text):
        yield found[0], True, "YMD", "ja"
    for found in _CJK_UNTIL.finditer(text):
        yield found[0].lstrip("".join(_WORDS["cjk_to"]) + " "), False, "YMD", "ja"
    for cue in _cues():
        for introduced in cue.pattern.finditer(text):
            date_found = _DATE.match(text, introduced.end())
            if date_found and date_found.span() not in seen:
                seen.add(date_found.span())
                yield date_found, cue.back, cue.order, cue.language


def _read(found: re.Match[str] | str, order: str, language: str, at: datetime) -> date | None:
    text = found if isinstance(found, str) else found[0]
    if isinstance(found, str) or found["cjk"]:
        return _numbers([int(n) for n in re.findall(r"\d+", text)], at)
    if found["iso"]:
        return _day(*(int(part) for part in text.split("-")))
    if found["numeric"]:
        return _numeric(text, order, at)
    return _parsed(text, language, at)


def _numbers(numbers: list[int], at: datetime) -> date | None:
    year, month, day = numbers if len(numbers) == 3 else [0, *numbers]  # noqa: PLR2004
    return _day(year, month, day) if year else _next(month, day, at)


def _numeric(text: str, order: str, at: datetime) -> date | None:
    """Read a numeric date. Dots mean day first everywhere; else one that reads in two ways is ignored."""
    parts = [int(part) for part in re.findall(r"\d+", text)]
    first, second, year = (*parts, 0)[:3]
    day_first = "." in text.strip(".") or order == "DMY"
    if not day_first and first <= MONTHS and second <= MONTHS and first != second:
        return None
    if second <= MONTHS and (day_first or first > MONTHS):
        day, month = first, second
    else:
        day, month = second, first
    if not year:
        return _next(month, day, at)
    return _day(year + 2000 if year < 100 else year, month, day)  # noqa: PLR2004  (a year of two digits)


def _next(month: int, day: int, at: datetime) -> date | None:
    this = _day(at.year, month, day)
    if this is not None and (at.date() - this).days > 30:  # noqa: PLR2004
        return _day(at.year + 1, month, day)
    return this


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _parsed(text: str, language: str, at: datetime) -> date | None:
    import dateparser  # its import takes a tenth of a second, and few mails are absence notices

    says_year = re.search(r"\d{4}", text) is not None
    languages = {"sv": ["sv", "da", "nb"]}.get(language, [language])
    text = re.sub(
        r"^(next|coming|this|kommenden|nachsten)\s+",
        "",
        re.sub(r"(?<=\d)(st|nd|rd|th|er|:e|º|°)\b", "", text),
    )
    found = None
    for tried in (sorted({*languages, "en"}), sorted(_document())):
        with suppress(Exception):  # the library raises many errors; a hold has a default length
            found = found or dateparser.parse(
                text.replace(" of the ", " ").replace(" of ", " "),
                languages=tried,
                settings={
                    "RELATIVE_BASE": at.replace(tzinfo=None),
                    "PREFER_DATES_FROM": "future",
                    "DATE_ORDER": "DMY",
                    "REQUIRE_PARTS": [] if re.fullmatch(r"[^\d]+", text) else ["day", "month"],
                },
            )
    if found is None:
        return None
    day = found.date()
    if not says_year and re.search(r"\d", text):
        return _next(day.month, day.day, at)
    return day


@cache
def _cues() -> tuple[_Cue, ...]:
    # "not back until" comes first: what is found there is not read again.
    return tuple(
        _Cue(re.compile(rf"(?<!\w)(?:{'|'.join(row[name])}){_GAP}"), name != "until", row["order"], language)
        for name in ("back_until", "back", "until")
        for language, row in _document().items()
        if name in row
    )


@cache
def _document() -> Mapping[str, Any]:
    return tomllib.loads(
        (files("step_mailing_worker.inbound_mail") / "return_dates.toml").read_text(encoding="utf-8")
    )
