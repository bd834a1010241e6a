"""Holds all that a plan knows of its day: the planning day, the team's tables, and the ledger's rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime

import pandas as pd

from sequence_pipelines.planning.engine.capacity import (
    count_capacity,
    daily_limits,
    find_mailbox_capacity,
    find_open_intervals,
)
from sequence_pipelines.planning.engine.windows import epoch_day, instant, seconds_of, send_windows


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
    windows: pd.DataFrame  # of the planning day, with the day's limit as `allowed`
    sequences: pd.DataFrame
    steps: pd.DataFrame
    routes: pd.DataFrame
    rows: pd.DataFrame  # of the ledger: those that count against a limit, and those under way
    first_mails: pd.DataFrame
    open_intervals: pd.DataFrame = field(init=False)  # as count_capacity returns them
    mailbox_capacity: pd.DataFrame = field(init=False)  # as find_mailbox_capacity returns it

    def __post_init__(self) -> None:
        open_time = find_open_intervals(self.mailboxes, self.windows, self.day.opens, self.day.closes)
        intervals = count_capacity(self.mailboxes, open_time, self.rows)
        capacity = find_mailbox_capacity(self.mailboxes, intervals, self.first_mails, self.day.opens)
        object.__setattr__(self, "open_intervals", intervals)
        object.__setattr__(self, "mailbox_capacity", capacity)


def day_windows(mailboxes: pd.DataFrame, day: PlanningDay) -> pd.DataFrame:
    """Return all windows that have a second in the planning day, with their day's limit as `allowed`."""
    windows = send_windows(mailboxes, seconds_of(day.begins), day.closes)
    allowed = daily_limits(mailboxes, windows["mailbox_id"].to_numpy(), windows["send_day"].to_numpy())
    return windows.assign(allowed=allowed)


def earliest_counted(mailboxes: pd.DataFrame, windows: pd.DataFrame, day: PlanningDay) -> datetime:
    """Return the instant before which no row lies in one of the day's windows or within a gap of one."""
    widest_gap = int(mailboxes["min_gap_seconds"].max()) if len(mailboxes) else 0
    return instant(min([seconds_of(day.begins), *windows["starts"]]) - widest_gap)


def first_send_day(windows: pd.DataFrame, day: PlanningDay) -> int:
    """Return the first epoch day whose limit counts; a moved window may begin after some of its rows."""
    return int(windows["send_day"].min()) if len(windows) else epoch_day(day.day)
