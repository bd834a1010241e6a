"""Reads the planning snapshot from Postgres: the planning day, the team's tables, and the ledger's rows."""

from __future__ import annotations

from concurrent.futures import Executor
from datetime import date, datetime, timedelta
from typing import NamedTuple

import pandas as pd

from sequence_pipelines.planning.engine.capacity import is_ramping
from sequence_pipelines.planning.engine.eligibility import ClosedGates, find_steps, only_due
from sequence_pipelines.planning.engine.ramp_up import raise_ramp_ups, with_ramp_ups
from sequence_pipelines.planning.engine.snapshot import (
    PlanningDay,
    PlanningSnapshot,
    day_windows,
    earliest_counted,
    first_send_day,
    last_dates,
    last_due_date,
)
from sequence_pipelines.planning.engine.windows import DAY_SECONDS, from_epoch_day, instant, seconds_of
from sequence_pipelines.planning.repository import PlanRepository
from sequence_store.settings import PipelineSettings

EASTERNMOST = 14 * 3600  # seconds: the largest offset of a time zone from UTC
NOTHING_RAISED = pd.DataFrame(columns=["mailbox_id", "ramp_up_days", "ramp_up_counted"], dtype="int64")
DATES_AROUND = timedelta(days=3)  # of a planning day: no window of it has a date farther away


def planning_day_at(now: datetime, settings: PipelineSettings) -> PlanningDay:
    """Return the planning day that contains the aware `now`."""
    calendar = settings.calendar
    day = calendar.day_of(now)
    ends = calendar.end_of(day)
    opens = seconds_of(now + timedelta(seconds=settings.plan_lead_seconds))
    return PlanningDay(day, now, calendar.start_of(day), ends, opens, seconds_of(ends))


class Team(NamedTuple):
    """The tables of a snapshot that do not depend on the ledger's rows; live rows only."""

    mailboxes: pd.DataFrame  # with the days of ramp-ups up to now
    sequences: pd.DataFrame
    steps: pd.DataFrame
    routes: pd.DataFrame
    raised: pd.DataFrame  # the ramp-ups that have counted more dates than are stored
    written_days: pd.DataFrame  # what earlier plans wrote of the dates of this planning day


def read_team(repository: PlanRepository, day: PlanningDay) -> Team:
    """Read the team's tables and what is known of the day; count the dates of ramp-ups that are over."""
    others = repository.sequences(), repository.steps(), repository.routes()
    mailboxes = repository.mailboxes()
    raised = NOTHING_RAISED
    if is_ramping(mailboxes).any():
        raised = raise_ramp_ups(mailboxes, repository.mail_days(), seconds_of(day.now))
    written = repository.mailbox_days(day.day - DATES_AROUND, day.day + DATES_AROUND)
    return Team(with_ramp_ups(mailboxes, raised), *others, raised, written)


def read_snapshot(
    repository: PlanRepository, day: PlanningDay, since: datetime, team: Team
) -> PlanningSnapshot:
    """Read the rows of a day for a team; no row with an earlier send_at than `since` can be under way."""
    windows = day_windows(team.mailboxes, day, team.written_days)
    earliest, first_day = earliest_counted(team.mailboxes, windows, day), first_send_day(windows, day)
    since = min(since, earliest, instant(first_day * DAY_SECONDS - EASTERNMOST))
    rows = repository.rows(day.day, since, earliest, from_epoch_day(first_day))
    return PlanningSnapshot(
        day=day,
        since=since,
        earliest=earliest,
        windows=windows,
        rows=rows,
        first_mails=read_first_mails(repository, day, earliest, team.sequences, rows),
        mailboxes=team.mailboxes,
        sequences=team.sequences,
        steps=team.steps,
        routes=team.routes,
        raised=team.raised,
    )


def read_due(
    repository: PlanRepository, day: PlanningDay, since: datetime, executor: Executor
) -> tuple[PlanningSnapshot, pd.DataFrame, ClosedGates]:
    """Return the snapshot, the due enrolments (see only_due), and what keeps contacts from being mailed.

    The threads of `executor` (two) read one table after the other from Postgres while this thread computes.
    """
    team = read_team(repository, day)
    until = last_due_date(last_dates(team.mailboxes, day), day)
    enrolments = executor.submit(repository.due, until)
    unmailable = executor.submit(repository.unmailable, day.now)
    held = executor.submit(repository.holds)
    snapshot = read_snapshot(repository, day, since, team)
    gates = ClosedGates(unmailable.result(), held.result(), read_refused(repository, snapshot))
    due = only_due(find_steps(enrolments.result(), snapshot.steps), snapshot, gates.holds)
    return snapshot, due, gates


def read_refused(
    repository: PlanRepository, snapshot: PlanningSnapshot, last: date | None = None
) -> pd.DataFrame:
    """Return the refused mails (PlanRepository.refused) of enrolments due by `last`, else by `due_until`.

    A mail that was refused before the day's first window no longer matters.
    """
    day = snapshot.day
    return repository.refused(
        last or snapshot.due_until, from_epoch_day(first_send_day(snapshot.windows, day))
    )


def read_first_mails(
    repository: PlanRepository,
    day: PlanningDay,
    earliest: datetime,
    sequences: pd.DataFrame,
    rows: pd.DataFrame,
) -> pd.DataFrame:
    """Count the planning day's first mails, as the ledger has them now, by sequence_id and mailbox_id.

    The bounds of sequences and mailboxes and the fair share count them. `rows` are the ledger's: before the
    day's first plan none is of today.
    """
    some = sequences["sequence_id"].tolist() if rows["today"].any() else []
    return repository.first_mails(day.day, earliest, some)
