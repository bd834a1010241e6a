"""Reads the planning snapshot from Postgres: the planning day, the team's tables, and the ledger's rows."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from datetime import date, datetime, timedelta
from typing import NamedTuple

import pandas as pd

from sequence_pipelines.planning.engine.eligibility import find_due, without_held_dates
from sequence_pipelines.planning.engine.snapshot import (
    PlanningDay,
    PlanningSnapshot,
    day_windows,
    earliest_counted,
    first_send_day,
)
from sequence_pipelines.planning.engine.windows import DAY_SECONDS, from_epoch_day, instant, seconds_of
from sequence_pipelines.planning.repository import PlanRepository
from sequence_store.settings import PipelineSettings

EASTERNMOST = 14 * 3600  # seconds: the largest offset of a time zone from UTC


def planning_day_at(now: datetime, settings: PipelineSettings) -> PlanningDay:
    """Return the planning day that contains the aware `now`."""
    calendar = settings.calendar
    day = calendar.day_of(now)
    ends = calendar.end_of(day)
    opens = seconds_of(now + timedelta(seconds=settings.plan_lead_seconds))
    return PlanningDay(day, now, calendar.start_of(day), ends, opens, seconds_of(ends))


class Team(NamedTuple):
    """The tables of a snapshot that do not depend on the day; live rows only."""

    mailboxes: pd.DataFrame
    sequences: pd.DataFrame
    steps: pd.DataFrame
    routes: pd.DataFrame


def read_team(repository: PlanRepository) -> Team:
    """Read the team's tables."""
    return request_team(repository)()


def request_team(repository: PlanRepository) -> Callable[[], Team]:
    """Run the queries; the returned function builds the frames while Postgres serves other threads."""
    others = repository.sequences(), repository.steps(), repository.routes()
    mailboxes = repository.request_mailboxes()
    return lambda: Team(mailboxes(), *others)


def read_snapshot(
    repository: PlanRepository, day: PlanningDay, since: datetime, team: Team
) -> PlanningSnapshot:
    """Read the rows of a day for a team; no row with an earlier send_at than `since` can be under way."""
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


def read_due(
    repository: PlanRepository, day: PlanningDay, since: datetime, executor: Executor
) -> tuple[PlanningSnapshot, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return the snapshot, the due enrolments (find_due), the contacts that may not be mailed, and the holds.

    The threads of `executor` (two) read one table after the other from Postgres while this thread computes.
    """
    team = request_team(repository)
    enrolments = executor.submit(repository.due, day.day)
    unmailable = executor.submit(repository.unmailable, day.now)
    held = executor.submit(repository.holds)
    snapshot = read_snapshot(repository, day, since, team())
    holds = held.result()
    due = without_held_dates(find_due(enrolments.result(), snapshot.steps), holds)
    return snapshot, due, unmailable.result(), holds


def read_refused(
    repository: PlanRepository, snapshot: PlanningSnapshot, last: date | None = None
) -> pd.DataFrame:
    """Return the refused mails (PlanRepository.refused) of enrolments due by `last`, else by the day itself.

    A mail that was refused before the day's first window no longer matters.
    """
    day = snapshot.day
    return repository.refused(last or day.day, from_epoch_day(first_send_day(snapshot.windows, day)))


def read_first_mails(
    repository: PlanRepository,
    day: PlanningDay,
    earliest: datetime,
    sequences: pd.DataFrame,
    mailboxes: pd.DataFrame,
) -> pd.DataFrame:
    """Count the planning day's first mails, as the ledger has them now, by sequence_id and mailbox_id."""
    return repository.first_mails(
        day.day,
        earliest,
        sequences["sequence_id"][sequences["max_new_per_day"].notna()].tolist(),
        mailboxes["mailbox_id"][mailboxes["max_first_mails"].notna()].tolist(),
    )
