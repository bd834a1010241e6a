"""Defines every rate of the statistics: its numerator and its denominator, which its name ends with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from types import MappingProxyType
from typing import NamedTuple

MOST_ROWS = 1_000  # of one answer
KEYS = "key_"  # how the columns of sql/stats.sql with ids of the database begin
STATS_DAYS = 30  # that an answer counts if no first day is named

COUNTS = (
    "mails",
    "sent",
    "unknown",
    "hard_failed",
    "opened",
    "clicked",
    "machine_opened",
    "machine_clicked",
    "replied",
    "bounced",
    "complained",
    "unsubscribed",
    "enrolments",
    "enrolments_replied",
)


class Rate(NamedTuple):
    """A rate: the count above, the counts whose sum is below, and its meaning."""

    above: str
    below: tuple[str, ...]
    meaning: str


RATES: Mapping[str, Rate] = MappingProxyType(
    {
        "opened_per_mail": Rate("opened", ("mails",), "Mails that a person opened, per mail"),
        "clicked_per_mail": Rate("clicked", ("mails",), "Mails in which a person followed a link, per mail"),
        "replied_per_mail": Rate("replied", ("mails",), "Mails that were replied to, per mail"),
        "replied_per_enrolment": Rate(
            "enrolments_replied",
            ("enrolments",),
            "Enrolments that replied to any of their mails, per enrolment that was mailed",
        ),
        "bounced_per_attempt": Rate(
            "bounced",
            ("mails", "hard_failed"),
            "Mails that came back for good or were refused, per mail that was accepted or refused",
        ),
        "complained_per_mail": Rate("complained", ("mails",), "Mails that were reported as spam, per mail"),
        "unsubscribed_per_mail": Rate(
            "unsubscribed", ("mails",), "Mails that were unsubscribed from, per mail"
        ),
    }
)


def last_mail_day(day: date) -> date:
    """Return the latest day that a mail of planning day `day` can have.

    East of UTC and after midnight, its mails have the date after it.
    """
    return day + timedelta(days=1)


def first_of_days(last: date, days: int = STATS_DAYS) -> date:
    """Return the first of the days that end with `last`; the first day of all if they began before it."""
    return last - timedelta(days=min(days - 1, last.toordinal() - 1))


def rates_of(counts: Mapping[str, int]) -> dict[str, float | None]:
    """Return every rate, 0 to 1 with six digits; None if its denominator is 0."""
    found: dict[str, float | None] = {}
    for name, rate in RATES.items():
        below = sum(counts[part] for part in rate.below)
        found[name] = round(counts[rate.above] / below, 6) if below else None
    return found
