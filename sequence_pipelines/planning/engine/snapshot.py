"""Holds all that a plan knows of its day: the planning day, the team's tables, and the ledger's rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime

import numpy as np
import pandas as pd

from sequence_pipelines.planning.engine.capacity import (
    count_capacity,
    daily_limits,
    find_mailbox_capacity,
    find_open_intervals,
    grid_anchors,
    is_ramping,
    last_cells,
    row_of_day,
)
from sequence_pipelines.planning.engine.send_dates import Clocks
from sequence_pipelines.planning.engine.windows import (
    DAY_SECONDS,
    epoch_day,
    from_epoch_day,
    instant,
    seconds_of,
    send_windows,
)


@dataclass(frozen=True)
class PlanningDay:
    """A planning day, and the part of it that a plan made at `now` may use."""

    day: date
    now: datetime
    begins: datetime
    ends: datetime
    opens: int  # epoch seconds: now and the lead
    closes: int  # epoch seconds: the day's end


@dataclass(frozen=True)
class PlanningSnapshot:
    """The day before a plan. The frames hold live rows only, with the columns that PlanRepository returns.

    `open_intervals` and `mailbox_capacity` follow from the other fields, also after `dataclasses.replace`.
    """

    day: PlanningDay
    since: datetime  # no row with an earlier send_at can be under way
    earliest: datetime  # no row with an earlier send_at lies in a window or within a gap of one
    mailboxes: pd.DataFrame
    windows: pd.DataFrame  # of the planning day, as day_windows returns them
    sequences: pd.DataFrame
    steps: pd.DataFrame
    routes: pd.DataFrame
    rows: pd.DataFrame  # of the ledger: those that count against a limit, and those under way
    first_mails: pd.DataFrame
    raised: pd.DataFrame  # ramp-ups that have counted more dates than are stored: see raise_ramp_ups
    open_intervals: pd.DataFrame = field(init=False)  # as count_capacity returns them
    mailbox_capacity: pd.DataFrame = field(init=False)  # as find_mailbox_capacity returns it
    last_dates: np.ndarray = field(init=False)  # of each mailbox, in the planning day; epoch days

    def __post_init__(self) -> None:
        open_time = find_open_intervals(self.mailboxes, self.windows, self.day.opens, self.day.closes)
        intervals = count_capacity(self.mailboxes, open_time, self.rows)
        capacity = find_mailbox_capacity(self.mailboxes, intervals, self.first_mails, self.day.opens)
        object.__setattr__(self, "open_intervals", intervals)
        object.__setattr__(self, "mailbox_capacity", capacity)
        object.__setattr__(self, "last_dates", last_dates(self.mailboxes, self.day))

    @property
    def due_until(self) -> date:
        """The last date of any mailbox in the planning day: nothing with a later next_send is due."""
        return last_due_date(self.last_dates, self.day)


def last_dates(mailboxes: pd.DataFrame, day: PlanningDay) -> np.ndarray:
    """Return each mailbox's last date with a second in the planning day, else the planning day."""
    if mailboxes.empty:
        return np.zeros(0, dtype=np.int64)
    return Clocks(mailboxes).last_dates(seconds_of(day.begins), day.closes, epoch_day(day.day))


def last_due_date(dates: np.ndarray, day: PlanningDay) -> date:
    """Return the latest of these dates and the planning day."""
    return from_epoch_day(max(epoch_day(day.day), int(dates.max(initial=0))))


def day_windows(
    mailboxes: pd.DataFrame, day: PlanningDay, written: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return all windows that have a second in the planning day.

    Adds the day's limit as `allowed`, the minutes from UTC at the window's start as `utc_offset`, the first
    cell of the grid of gaps as `grid_from` and the latest time of a cell as `last_cell` (epoch seconds).
    `written` is what earlier plans wrote of these dates (PlanRepository.mailbox_days): the grid stays, and so
    does what a ramp-up allows.
    """
    windows = send_windows(mailboxes, seconds_of(day.begins), day.closes)
    if windows.empty:
        return windows.assign(allowed=0, utc_offset=0, grid_from=0, last_cell=0).astype(np.int64)
    at = pd.Index(mailboxes["mailbox_id"]).get_indexer(pd.Index(windows["mailbox_id"]))
    allowed = daily_limits(mailboxes, windows["mailbox_id"].to_numpy(), windows["send_day"].to_numpy())
    gaps = mailboxes["min_gap_seconds"].to_numpy(np.int64)[at]
    grid_from = grid_anchors(windows, gaps)
    if written is not None and len(written):
        before = row_of_day(windows, written)
        known = before >= 0
        grid = np.r_[written["grid_from"].to_numpy(np.float64), np.nan][before]
        grid_from = np.where(np.isnan(grid), grid_from, grid).astype(np.int64)
        fixed = known & is_ramping(mailboxes)[at]
        limit = np.r_[written["allowed"].to_numpy(np.int64), 0][before]
        allowed = np.where(fixed, np.minimum(allowed, limit), allowed)
    windows = windows.assign(
        allowed=allowed,
        utc_offset=Clocks(mailboxes).offsets(at, windows["send_day"].to_numpy()),
        grid_from=grid_from,
    )
    return windows.assign(last_cell=last_cells(mailboxes, windows, gaps))


def earliest_counted(mailboxes: pd.DataFrame, windows: pd.DataFrame, day: PlanningDay) -> datetime:
    """Return the instant before which no row lies in a window, within a gap of one, or on its date."""
    widest_gap = int(mailboxes["min_gap_seconds"].max()) if len(mailboxes) else 0
    midnights = windows["send_day"].to_numpy() * DAY_SECONDS - 60 * windows["utc_offset"].to_numpy()
    first = min([seconds_of(day.begins), *(windows["starts"].to_numpy() - widest_gap)])
    return instant(
        min(first, int(midnights.min(initial=first)) - 3600)
    )  # an hour: the clock may change at night


def first_send_day(windows: pd.DataFrame, day: PlanningDay) -> int:
    """Return the first epoch day whose limit counts; a moved window may begin after some of its rows."""
    return int(windows["send_day"].min()) if len(windows) else epoch_day(day.day)
