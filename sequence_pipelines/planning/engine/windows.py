"""Turns the mailboxes' wall-clock windows into instants, daylight saving included."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import holidays
import numpy as np
import pandas as pd

EPOCH = date(1970, 1, 1)
DAY_SECONDS = 86_400
WINDOW_COLUMNS = ("mailbox_id", "send_day", "starts", "ends")


def epoch_day(day: date) -> int:
    return (day - EPOCH).days


def from_epoch_day(day: int) -> date:
    return EPOCH + timedelta(days=int(day))


def instant(seconds: int) -> datetime:
    """Return the aware datetime of epoch seconds."""
    return datetime.fromtimestamp(int(seconds), UTC)


def seconds_of(instant: datetime) -> int:
    """Return the first whole epoch second at or after the instant."""
    return -int(-instant.timestamp() // 1)


@lru_cache(maxsize=512)
def zone_of(name: str) -> ZoneInfo | None:
    """Return the IANA zone, or None if no zone has that name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


@lru_cache(maxsize=512)
def _holidays_of(country: str, year: int) -> frozenset[date] | None:
    try:
        return frozenset(holidays.country_holidays(country, years=year))
    except (NotImplementedError, KeyError):
        return None


def is_holiday(country: str | None, day: date) -> bool:
    """Return whether `day` is a public holiday of `country` (a name the `holidays` library knows)."""
    if not country:
        return False
    return day in (_holidays_of(country, day.year) or frozenset())


class Hours(NamedTuple):
    """The hours of a mailbox on its wall clock."""

    start_seconds: int
    end_seconds: int
    time_zone: str
    send_days: tuple[int, ...]
    holiday_calendar: str | None

    def opens_on(self, day: date) -> bool:
        """Return whether a window starts on this date: a send day, and no holiday."""
        return day.isoweekday() in self.send_days and not is_holiday(self.holiday_calendar, day)


def hours_of(mailboxes: pd.DataFrame) -> list[Hours]:
    """Return the hours of each mailbox."""
    columns = {name: mailboxes[name].tolist() for name in Hours._fields}
    columns["send_days"] = [tuple(days or ()) for days in columns["send_days"]]
    return [Hours(*values) for values in zip(*columns.values(), strict=True)]


def misconfigured(mailboxes: pd.DataFrame) -> np.ndarray:
    """Return which mailboxes have an invalid zone, send days or holiday calendar, and so no window."""
    hours = hours_of(mailboxes)
    wrong = {h for h in set(hours) if not is_valid(h)}
    return np.array([h in wrong for h in hours], dtype=bool)


def is_valid(hours: Hours) -> bool:
    """Return whether the zone, the send days and the holiday calendar exist."""
    calendar = hours.holiday_calendar
    return (
        zone_of(hours.time_zone) is not None
        and bool(hours.send_days)
        and not (calendar and _holidays_of(calendar, EPOCH.year + 56) is None)
    )


@lru_cache(maxsize=1 << 16)
def local_instant(zone: ZoneInfo, day: date, seconds: int) -> int:
    """Return the instant of a wall-clock time, `seconds` after midnight of `day`.

    If the clock shows the time twice, the first occurrence counts. A time that the clock skips is read with
    the offset before the change (RFC 5545; Python's fold=0).
    """
    days, rest = divmod(seconds, DAY_SECONDS)
    wall = datetime.combine(day + timedelta(days=days), time(), zone) + timedelta(seconds=rest)
    return int(wall.astimezone(UTC).timestamp())


@lru_cache(maxsize=1 << 16)
def window(zone: ZoneInfo, day: date, start_seconds: int, end_seconds: int) -> tuple[int, int] | None:
    """Return the half-open window that starts on local date `day`, in epoch seconds; None if it is empty.

    An end at or before the start lies on the next day.
    """
    overnight = DAY_SECONDS if end_seconds <= start_seconds else 0
    starts = local_instant(zone, day, start_seconds)
    ends = local_instant(zone, day, end_seconds + overnight)
    return (starts, ends) if starts < ends else None


@lru_cache(maxsize=1 << 16)
def window_of(hours: Hours, day: int) -> tuple[int, int] | None:
    """Return the window that starts on an epoch day, in epoch seconds; None if there is none."""
    zone = zone_of(hours.time_zone)
    if zone is None or not is_valid(hours) or not hours.opens_on(from_epoch_day(day)):
        return None
    return window(zone, from_epoch_day(day), hours.start_seconds, hours.end_seconds)


def send_windows(mailboxes: pd.DataFrame, begins: int, ends: int) -> pd.DataFrame:
    """Return every window that has a second in [begins, ends): mailbox_id, send_day, starts, ends.

    `mailboxes` needs mailbox_id, start_seconds and end_seconds (0 to 86400), time_zone, send_days (ISO
    weekdays), holiday_calendar. The send_day of a window is the local date on which it starts. A mailbox has
    a window only on its send days, and not on holidays.
    """
    windows: dict[Hours, list[tuple[int, int, int]]] = {}
    rows = []
    for mailbox_id, hours in zip(mailboxes["mailbox_id"], hours_of(mailboxes), strict=True):
        if hours not in windows:  # mailboxes have few different hours
            windows[hours] = list(_windows_of(hours, begins, ends))
        rows += [(mailbox_id, *found) for found in windows[hours]]
    return pd.DataFrame(np.array(rows, dtype=np.int64).reshape(-1, 4), columns=list(WINDOW_COLUMNS))


def _windows_of(hours: Hours, begins: int, ends: int) -> Iterator[tuple[int, int, int]]:
    zone = zone_of(hours.time_zone)
    if zone is None or not is_valid(hours):
        return
    day = datetime.fromtimestamp(begins, zone).date() - timedelta(days=1)
    last = datetime.fromtimestamp(ends, zone).date() + timedelta(
        days=1
    )  # the clock may go back over midnight
    while day <= last:
        if hours.opens_on(day):
            found = window(zone, day, hours.start_seconds, hours.end_seconds)
            if found and found[0] < ends and found[1] > begins:
                yield epoch_day(day), *found
        day += timedelta(days=1)
