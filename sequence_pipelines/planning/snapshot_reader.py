"""What a plan made now has to know: the planning day, the team's mailboxes and sequences, the ledger's rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import NamedTuple

import pandas as pd

from sequence_pipelines.planning.engine.assignment import find_mailbox_capacity
from sequence_pipelines.planning.engine.capacity import capacity, daily_limits, find_open_intervals
from sequence_pipelines.planning.engine.windows import DAY_SECONDS, epoch_day, from_epoch_day, send_windows
from sequence_pipelines.planning.repository import PlanRepository, instant, seconds_of
from sequence_store.settings import PipelineSettings

EASTERNMOST = 14 * 3600  # seconds that a local day begins before UTC's at most


@dataclass(frozen=True)
class Day:
    """The planning day that contains `now`, and the time that a plan made now may use."""

    day: date
    now: datetime
    begins: datetime
    ends: datetime
    opens: int  # epoch seconds: now and the lead
    closes: int

    @classmethod
    def at(cls, now: datetime, settings: PipelineSettings) -> Day:
        calendar = settings.calendar
        day = calendar.day_of(now)
        ends = calendar.end_of(day)
        opens = seconds_of(now + timedelta(seconds=settings.plan_lead_seconds))
        return cls(day, now, calendar.start_of(day), ends, opens, seconds_of(ends))


@dataclass(frozen=True)
class PlanningSnapshot:
    """The day as it is before a plan. All frames hold live rows alone; columns as the ledger gives them."""

    day: Day
    since: datetime  # nothing older can be under way
    earliest: datetime  # nothing older lies in a window or near it
    mailboxes: pd.DataFrame
    windows: pd.DataFrame  # of the planning day, with the day's limit as `allowed`
    sequences: pd.DataFrame
    steps: pd.DataFrame
    routes: pd.DataFrame
    rows: pd.DataFrame  # of the ledger: what counts against a limit, and what is under way
    first_mails: pd.DataFrame

    @cached_property
    def open_intervals(self) -> pd.DataFrame:
        """The open time that is left, with what still fits into it."""
        open_ = find_open_intervals(self.mailboxes, self.windows, self.day.opens, self.day.closes)
        return capacity(self.mailboxes, open_, self.rows)

    @cached_property
    def mailbox_capacity(self) -> pd.DataFrame:
        """What each mailbox offers: mailbox_id, load, capacity, first_mails, state."""
        return find_mailbox_capacity(self.mailboxes, self.open_intervals, self.first_mails, self.day.opens)


class Team(NamedTuple):
    """What a picture knows that is no day's: the small tables, live rows alone."""

    mailboxes: pd.DataFrame
    sequences: pd.DataFrame
    steps: pd.DataFrame
    routes: pd.DataFrame


def read_team(repository: PlanRepository) -> Team:
    return ask_team(repository)()


def ask_team(repository: PlanRepository) -> Callable[[], Team]:
    """Ask Postgres for the team; what is returned makes its frames, while Postgres is free for others."""
    others = repository.sequences(), repository.steps(), repository.routes()
    mailboxes = repository.ask_mailboxes()
    return lambda: Team(mailboxes(), *others)


def read_snapshot(repository: PlanRepository, day: Day, since: datetime, team: Team) -> PlanningSnapshot:
    """Read the day of a team; `since` is older than whatever can be under way."""
    windows = day_windows(team.mailboxes, day)
    earliest, first_day = earliest_counted(team.mailboxes, windows, day), first_send_day(windows, day)
    since = min(since, earliest, instant(first_day * DAY_SECONDS - EASTERNMOST))
    return PlanningSnapshot(
        day=day,
        since=since,
        earliest=earliest,
        windows=windows,
        rows=repository.rows(day.day, since, earliest, from_epoch_day(first_day)),
        first_mails=read_first_mails(repository, day, earliest, team.sequences, team.mailboxes),
        **team._asdict(),
    )


def read_first_mails(
    repository: PlanRepository, day: Day, earliest: datetime, sequences: pd.DataFrame, mailboxes: pd.DataFrame
) -> pd.DataFrame:
    """Count the planning day's first mails as the ledger has them now."""
    return repository.first_mails(
        day.day,
        earliest,
        sequences["sequence_id"][sequences["max_new_per_day"].notna()].tolist(),
        mailboxes["mailbox_id"][mailboxes["max_first_mails"].notna()].tolist(),
    )


def earliest_counted(mailboxes: pd.DataFrame, windows: pd.DataFrame, day: Day) -> datetime:
    """Return the instant before which no row lies in one of the day's windows, or near enough to it for a gap."""
    widest_gap = int(mailboxes["min_gap_seconds"].max()) if len(mailboxes) else 0
    return instant(min([seconds_of(day.begins), *windows["starts"]]) - widest_gap)


def first_send_day(windows: pd.DataFrame, day: Day) -> int:
    """Return the first epoch day whose limit counts: its rows may lie before its window, if that was moved since."""
    return int(windows["send_day"].min()) if len(windows) else epoch_day(day.day)


def day_windows(mailboxes: pd.DataFrame, day: Day) -> pd.DataFrame:
    """Return all windows that have a second in the planning day, with their day's limit as `allowed`."""
    windows = send_windows(mailboxes, seconds_of(day.begins), day.closes)
    allowed = daily_limits(mailboxes, windows["mailbox_id"].to_numpy(), windows["send_day"].to_numpy())
    return windows.assign(allowed=allowed)
