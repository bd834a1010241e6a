"""Makes a plan: one transaction under one lock, whichever day's run asks for it.

Everything that is due by the current planning day is planned into what is left of it, so the order and number
of runs change no row.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import psycopg
from psycopg.errors import UniqueViolation

from sequence_pipelines.planning.engine.array_ops import stable_order
from sequence_pipelines.planning.engine.assignment import assign_mailboxes, assign_times, new_left
from sequence_pipelines.planning.engine.eligibility import (
    Eligibility,
    are_among,
    choose_candidates,
    read_day,
    skip_mailed,
)
from sequence_pipelines.planning.engine.plan_invariants import find_violations
from sequence_pipelines.planning.engine.revocation import find_revoked
from sequence_pipelines.planning.engine.windows import epoch_day
from sequence_pipelines.planning.repository import KEY, PlanRepository, keys_of, seconds_of
from sequence_pipelines.planning.snapshot_reader import Day, PlanningSnapshot, read_first_mails
from sequence_pipelines.results.advance import Applied, apply_sends, find_unapplied
from sequence_store.failpoints import Failpoint, reach
from sequence_store.postgres.lookback import oldest_live
from sequence_store.postgres.queries import query
from sequence_store.settings import PipelineSettings
from sequence_store.tracing.traces import OFF, Traces

QUARTER = 900  # seconds that SQS delays a message at most, and a dispatch looks ahead


@dataclass
class Plan:
    """What a plan did."""

    snapshot: PlanningSnapshot
    asked: pd.DataFrame  # who asked for a place, with mailbox_id (0: none), send_at, reason
    ineligible: pd.DataFrame  # who might not ask, with the reason
    applied: Applied
    revoked: int
    seconds: dict[str, float]
    completed: int = 0  # enrolments that had no step left, once it is written

    @property
    def day(self) -> Day:
        return self.snapshot.day

    @cached_property
    def placed(self) -> pd.DataFrame:
        return self.asked[self.asked["mailbox_id"] > 0]

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The ledger's rows as this plan leaves them, as Ledger.rows gives them."""
        before = self.snapshot.rows
        flags = {"planned": True, "under_way": True, "today": True}
        added = self.placed[list(before.columns.difference(list(flags)))].assign(**flags)
        return pd.concat([before, added], ignore_index=True)[list(before)]

    @cached_property
    def waiting(self) -> pd.DataFrame:
        """All who are due and have no place, with the reason."""
        return find_waiting(self.asked, self.ineligible)

    @cached_property
    def violations(self) -> dict[str, int]:
        """What in the plan breaks each of its invariants."""
        return find_violations(self.rows, self.snapshot, self.placed, self.waiting)

    def keep_or_undo(self, connection: psycopg.Connection[Any], *, dry_run: bool) -> bool:
        """Return whether the plan stays for the caller to commit.

        One that breaks any invariant is rolled back, and so is a dry run.
        """
        stays = not (dry_run or any(self.violations.values()))
        if not stays:
            connection.rollback()
        return stays


def make_plan(
    connection: psycopg.Connection[Any],
    settings: PipelineSettings,
    now: datetime,
    considered: pd.DataFrame | None = None,
    traces: Traces = OFF,
    on_plan_ready: Callable[[Plan], None] = lambda _: None,
) -> Plan:
    """Plan everything due into what is left of the planning day of `now`; the caller commits.

    `considered` (columns sequence_id, contact_id, step_id, round) are the only candidates that may get a
    place, beside those whose place this plan releases or whose mail it applies; all others wait for the next plan. None
    considers all that is due. `meanwhile` looks at the plan in a thread of its own while Postgres takes its rows; anew where
    Postgres refused them and there is another plan.
    """
    repository = PlanRepository(connection, settings.address_pads)
    seconds: dict[str, float] = {}
    repository.execute("lock_planner")
    reach(Failpoint.PLAN_LOCKED)
    repository.execute("give_memory")
    day = Day.at(now, settings)
    since = oldest_live(connection, settings, day.begins)
    with _timed(traces, seconds, "apply finished sends"):
        keys = find_unapplied(connection, since=since, now=now, unknown_settles=settings.unknown_settles)
        applied = apply_sends(connection, keys, now=now, unknown_settles=settings.unknown_settles)
        expired = connection.execute(
            query("dispatch", "expire_overdue"), {"since": since, "now": now}
        ).fetchall()
    with ThreadPoolExecutor(max_workers=2) as executor:
        with _timed(traces, seconds, "read due contacts"):
            snapshot, due, unmailable = read_day(repository, day, since, executor)
            reusable_rows = executor.submit(repository.reusable_rows, day.day)
        with _timed(traces, seconds, "release places"):
            snapshot, cancelled = revoke(repository, snapshot, due, unmailable)
            revoked = pd.concat([cancelled, pd.DataFrame(expired, columns=KEY)])
        with _timed(traces, seconds, "assign"):
            moved = pd.concat([revoked, pd.DataFrame(applied.keys, columns=KEY)])
            eligibility = _only_considered(choose_candidates(due, snapshot, unmailable), considered, moved)
            reactivated = pd.concat([reusable_rows.result(), cancelled])

        def written(eligibility: Eligibility, reactivated: pd.DataFrame) -> Plan:
            """Give places, and write them.

            Raises UniqueViolation, with nothing written, where the ledger has a row that is not among the `retaken`
            ones: a step that was mailed has got a number that is due again, or nobody looked back as far as the row lies.
            """
            with connection.transaction():
                with _timed(traces, seconds, "assign"):
                    served = choose_mailboxes(eligibility.candidates, snapshot)
                    completed = executor.submit(_write_others, repository, snapshot, eligibility, served)
                    asked = choose_times(served, snapshot, settings.send_grace_seconds)
                plan = Plan(snapshot, asked, eligibility.ineligible, applied, len(revoked), seconds)
                looked = executor.submit(on_plan_ready, plan)
                try:
                    with _timed(traces, seconds, "write"):
                        plan.completed = completed.result()
                        _write_slots(repository, plan, reactivated)
                finally:
                    wait([looked])  # who looks at a plan that Postgres refused is not in the next one's way
            looked.result()
            return plan

        try:
            plan = written(eligibility, reactivated)
        except UniqueViolation:
            with _timed(traces, seconds, "assign"):
                eligibility, reactivated = skip_mailed(repository, eligibility, repository.written(day.day))
            plan = written(eligibility, reactivated)
        reach(Failpoint.PLAN_WRITTEN)
        return plan


def trace_sends(traces: Traces, plan: Plan, began: int) -> None:
    """Tell of each send that the plan placed, and of the results that it applied, once it is committed."""
    traces.of_sends("plan", keys_of(plan.placed), began)
    traces.of_sends("result", plan.applied.keys, began)


def _write_others(
    repository: PlanRepository, snapshot: PlanningSnapshot, eligibility: Eligibility, served: pd.DataFrame
) -> int:
    """Write who waits and who has no step left; return how many these are. Times are given meanwhile."""
    completed = repository.complete(eligibility.exhausted)
    repository.defer(find_waiting(served, eligibility.ineligible), snapshot.day.day, snapshot.since)
    return completed


def _write_slots(repository: PlanRepository, plan: Plan, reactivated: pd.DataFrame) -> None:
    asked = plan.asked
    repository.enter(asked, writing_order(asked), are_among(asked, reactivated, ["step_id", "round"]))
    # last: a worker's gate waits for these rows until the plan is committed
    repository.allow(plan.snapshot.windows)


def revoke(
    repository: PlanRepository, snapshot: PlanningSnapshot, due: pd.DataFrame, unmailable: pd.DataFrame
) -> tuple[PlanningSnapshot, pd.DataFrame]:
    """Cancel the planned rows whose place does not hold; return the picture without them, and their keys."""
    planned = snapshot.rows[snapshot.rows["planned"]]
    if planned.empty:
        return snapshot, planned[KEY]
    gone = planned[~are_among(planned, due, ["round"])]
    columns = ["sequence_id", "contact_id", "round", "status"]
    enrolments = pd.concat([due.assign(status="active")[columns], repository.enrolments(gone)])
    reasons = find_revoked(snapshot, seconds_of(snapshot.day.now), unmailable, enrolments)
    if not (reasons != "").any():
        return snapshot, snapshot.rows[KEY][:0]
    cancelled = repository.cancel(snapshot.rows[reasons != ""], reasons[reasons != ""])
    # who was asked for and is not among them was dispatched meanwhile: the worker reads the gates again
    rows = snapshot.rows.assign(planned=snapshot.rows["planned"] & (reasons == ""))
    rows = rows[~are_among(rows, cancelled, ["step_id", "round"])].reset_index(drop=True)
    first = read_first_mails(
        repository, snapshot.day, snapshot.earliest, snapshot.sequences, snapshot.mailboxes
    )
    return replace(snapshot, rows=rows, first_mails=first), cancelled


def assign(candidates: pd.DataFrame, snapshot: PlanningSnapshot, grace_seconds: int) -> pd.DataFrame:
    """Return who asks with mailbox_id, send_day, send_at, not_after, plan_day; mailbox_id 0: reason."""
    return choose_times(choose_mailboxes(candidates, snapshot), snapshot, grace_seconds)


def choose_mailboxes(candidates: pd.DataFrame, snapshot: PlanningSnapshot) -> pd.DataFrame:
    """Return who asks as give_mailboxes does: with mailbox_id (0: none), reason and turn."""
    at = pd.Index(snapshot.sequences["sequence_id"]).get_indexer(pd.Index(candidates["sequence_id"]))
    return assign_mailboxes(
        candidates.assign(
            priority=snapshot.sequences["priority"].to_numpy()[at] if len(at) else 0,
            overdue=epoch_day(snapshot.day.day) - candidates["due_day"],
        ),
        routes=snapshot.routes,
        mailbox_capacity=snapshot.mailbox_capacity,
        new_left=new_left(snapshot.sequences, snapshot.first_mails),
    )


def choose_times(served: pd.DataFrame, snapshot: PlanningSnapshot, grace_seconds: int) -> pd.DataFrame:
    """Return who asks, as `choose_mailboxes` did, with the times of their mails."""
    day = snapshot.day
    asked = assign_times(
        served, mailboxes=snapshot.mailboxes, open_intervals=snapshot.open_intervals, slots=snapshot.rows
    )
    not_after = np.minimum(np.minimum(asked["window_ends"], day.closes), asked["send_at"] + grace_seconds)
    return asked.assign(not_after=not_after, plan_day=epoch_day(day.day))


def find_waiting(asked: pd.DataFrame, ineligible: pd.DataFrame) -> pd.DataFrame:
    """Return who has no place, with the reason."""
    waiting = asked[asked["mailbox_id"] == 0]
    return pd.concat([waiting.assign(reason=waiting["reason"].astype(object)), ineligible], ignore_index=True)


def writing_order(asked: pd.DataFrame) -> np.ndarray:
    """Return the rows of those who have a place, in the order of writing.

    By the quarter of an hour that they are dispatched in, and within it by the ledger's key: the rows of a
    dispatch lie together, and the key's index is filled in its own order.
    """
    placed = np.flatnonzero(asked["mailbox_id"] > 0)
    quarter = asked["send_at"].to_numpy()[placed] // QUARTER
    return placed[stable_order(quarter - quarter.min(initial=np.iinfo(np.int64).max))]


def _only_considered(
    eligibility: Eligibility, considered: pd.DataFrame | None, moved: pd.DataFrame
) -> Eligibility:
    """Refuse who asks and is neither considered nor moved by this plan: they became due while it was on its way."""
    if considered is None:
        return eligibility
    candidates = eligibility.candidates
    known = are_among(candidates, considered, ["step_id", "round"])
    if known.all():
        return eligibility
    known |= are_among(candidates, moved, [])
    late = candidates[~known].assign(reason="came_later")
    return eligibility._replace(
        candidates=candidates[known].reset_index(drop=True),
        ineligible=pd.concat([eligibility.ineligible, late]),
    )


@contextmanager
def _timed(traces: Traces, seconds: dict[str, float], phase: str) -> Iterator[None]:
    began = time.perf_counter()
    with traces.span(phase):
        yield
    seconds[phase] = seconds.get(phase, 0.0) + time.perf_counter() - began
