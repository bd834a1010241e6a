"""Computes dates: the last one of a mailbox in a planning day, that of an instant, the next one of a step.

The date of a mail is its `send_day`: the date on which its window starts, in its mailbox's zone. All days are
epoch days.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from sequence_pipelines.planning.engine.windows import (
    DAY_SECONDS,
    Hours,
    epoch_day,
    from_epoch_day,
    hours_of,
    instant,
    is_valid,
    local_instant,
    window,
    zone_of,
)

NO_OFFSET = 2**15 - 1  # minutes: the offset of a mail that was advanced without one
NEVER = -(2**31)  # an epoch day before all others


def next_date(last_send: np.ndarray, delay_days: np.ndarray) -> np.ndarray:
    """Return the date from which a mail is due after one whose date is last_send: never the same date.

    The SQL function for the same rule is next_send_after; a property test holds both together.
    """
    return last_send + np.maximum(delay_days, 1)


class Clocks:
    """The clocks of mailboxes: one for each of their few different hours."""

    def __init__(self, mailboxes: pd.DataFrame) -> None:
        hours = hours_of(mailboxes)
        self.hours = list(dict.fromkeys(hours))
        numbers = {h: n for n, h in enumerate(self.hours)}
        self.of_mailbox = np.array([numbers[h] for h in hours], dtype=np.int64)

    def last_dates(self, begins: int, ends: int, otherwise: int) -> np.ndarray:
        """Return each mailbox's last date whose hours have a second in [begins, ends)."""
        dates = [_last_date(hours, begins, ends, otherwise) for hours in self.hours]
        return np.array(dates, dtype=np.int64)[self.of_mailbox]

    def offsets(self, mailbox: np.ndarray, days: np.ndarray) -> np.ndarray:
        """Return the minutes from UTC when each mailbox's window of that date starts, or NO_OFFSET.

        `mailbox` are positions in the frame.
        """
        if not len(mailbox):
            return np.zeros(0, dtype=np.int64)
        first = int(days.min())
        number = self.of_mailbox[mailbox] * (int(days.max()) - first + 1) + (days - first)
        found, inverse = np.unique(number, return_inverse=True)
        span = int(days.max()) - first + 1
        values = [_offset(self.hours[int(n) // span], int(n) % span + first) for n in found]
        return np.array(values, dtype=np.int64)[inverse]

    def dates(self, mailbox: np.ndarray, instants: np.ndarray) -> np.ndarray:
        """Return the date of each instant on the clock of its mailbox, a position in the frame.

        It is the start date of the mailbox's window that contains the instant; outside every window the
        calendar date.
        """
        dates = np.full(len(instants), NEVER, dtype=np.int64)
        number = self.of_mailbox[mailbox]
        for n in np.unique(number):
            here = np.flatnonzero(number == n)
            dates[here] = _dates(self.hours[n], instants[here])
        return dates


def midnights(days: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return the epoch seconds of the midnights that start these days at these minutes from UTC."""
    return days * DAY_SECONDS - 60 * offsets


def _last_date(hours: Hours, begins: int, ends: int, otherwise: int) -> int:
    zone = zone_of(hours.time_zone)
    if zone is None:
        return otherwise
    for day in range(ends // DAY_SECONDS + 2, begins // DAY_SECONDS - 4, -1):
        found = window(zone, from_epoch_day(day), hours.start_seconds, hours.end_seconds)
        if found and found[0] < ends and found[1] > begins:
            return day
    return otherwise


def _offset(hours: Hours, day: int) -> int:
    zone = zone_of(hours.time_zone)
    if zone is None:
        return NO_OFFSET
    starts = local_instant(zone, from_epoch_day(day), hours.start_seconds)
    return offset_at(hours.time_zone, starts)


def offset_at(time_zone: str, seconds: int) -> int:
    """Return the whole minutes from UTC in a zone at an instant; NO_OFFSET without such a zone."""
    zone = zone_of(time_zone)
    offset = instant(seconds).astimezone(zone).utcoffset() if zone else None
    return NO_OFFSET if offset is None else int(offset.total_seconds() // 60)


def _dates(hours: Hours, instants: np.ndarray) -> np.ndarray:
    zone = zone_of(hours.time_zone)
    if zone is None:
        return instants // DAY_SECONDS
    first, last = int(instants.min()) // DAY_SECONDS - 3, int(instants.max()) // DAY_SECONDS + 3
    days = [from_epoch_day(day) for day in range(first, last + 1)]
    starts_of_days = np.array([local_instant(zone, day, 0) for day in days], dtype=np.int64)
    # The clock may go back over a midnight, or skip a whole day: the last day that has begun counts.
    calendar = first + np.searchsorted(np.maximum.accumulate(starts_of_days), instants, side="right") - 1
    if not is_valid(hours):
        return calendar
    windows = [
        (*found, epoch_day(day))
        for day in days
        if hours.opens_on(day)
        and (found := window(zone, day, hours.start_seconds, hours.end_seconds)) is not None
    ]
    if not windows:
        return calendar
    starts, ends, dates = np.array(windows, dtype=np.int64).T
    # If a clock change makes two windows overlap, the shared time belongs to the earlier one.
    starts = np.maximum(starts, np.r_[starts[0], np.maximum.accumulate(ends)[:-1]])
    at = np.searchsorted(starts, instants, side="right") - 1
    inside = (at >= 0) & (instants < ends[np.maximum(at, 0)])
    return np.where(inside, dates[np.maximum(at, 0)], calendar)


def date_on_clock(hours: Hours, at: int) -> int:
    """Return the date of an instant (epoch seconds) on the clock of a mailbox with these hours."""
    return int(_dates(hours, np.array([at], dtype=np.int64))[0])
