"""Makes a plan in one transaction under one lock, for whichever day a run asks.

Everything that is due by the current planning day is planned into what is left of it, so the order and the
number of runs change no row.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

import pandas as pd
import psycopg
from psycopg.errors import UniqueViolation

from sequence_pipelines.planning.engine.array_ops import are_among
from sequence_pipelines.planning.engine.assignment import (
    Assignment,
    assign_intervals,
    assign_times,
    find_waiting,
    writing_order,
)
from sequence_pipelines.planning.engine.eligibility import (
    MAILED,
    REUSABLE_ROW,
    UNDER_WAY,
    ClosedGates,
    Eligibility,
    choose_candidates,
    in_due_order,
    only_considered,
)
from sequence_pipelines.planning.engine.plan_invariants import find_violations
from sequence_pipelines.planning.engine.proof import Cut
from sequence_pipelines.planning.engine.revocation import find_revoked
from sequence_pipelines.planning.engine.snapshot import PlanningDay, PlanningSnapshot
from sequence_pipelines.planning.engine.windows import seconds_of
from sequence_pipelines.planning.repository import KEY, PlanRepository, keys_of
from sequence_pipelines.planning.snapshot_reader import (
    planning_day_at,
    read_due,
    read_first_mails,
)
from sequence_pipelines.results.advance import Applied, apply_sends, find_unapplied
from sequence_store.domain.states import Deferral, EnrolmentStatus
from sequence_store.failpoints import Failpoint, reach
from sequence_store.postgres.lookback import oldest_live
from sequence_store.postgres.queries import query
from sequence_store.settings import PipelineSettings
from sequence_store.tracing.traces import OFF, Traces

THREADS = 2  # beside the planner's own: one query and one computation at a time


@dataclass
class Plan:
    """A plan that was made, and what it changed."""

    snapshot: PlanningSnapshot
    candidates: pd.DataFrame  # with mailbox_id (0: waits), send_at, reason
    ineligible: pd.DataFrame  # due enrolments that may not get a slot, with their reason
    applied: Applied
    revoked: int
    adds_to_day: bool  # the planning day had sends before, also if they are cancelled or expired by now
    seconds: dict[str, float]
    proof: Future[list[Cut]]
    completed: int = 0  # enrolments without a step left; known once the plan is written

    @property
    def day(self) -> PlanningDay:
        return self.snapshot.day

    @cached_property
    def placed(self) -> pd.DataFrame:
        """The candidates that have a slot."""
        return self.candidates[self.candidates["mailbox_id"] > 0]

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The ledger's rows as this plan leaves them, with the columns of PlanRepository.rows."""
        before = self.snapshot.rows
        flags = {"planned": True, "under_way": True, "today": True, "mailed": True}
        added = self.placed[list(before.columns.difference(list(flags)))].assign(**flags)
        return pd.concat([before, added], ignore_index=True)[list(before)]

    @property
    def cuts(self) -> list[Cut]:
        """The cuts of the classes in which somebody waits."""
        return self.proof.result()

    @cached_property
    def waiting(self) -> pd.DataFrame:
        """The due enrolments without a slot, with the reason."""
        return find_waiting(self.candidates, self.ineligible)

    @cached_property
    def violations(self) -> dict[str, int]:
        """The number of violations of each plan invariant."""
        return find_violations(self.rows, self.snapshot, self.placed, self.waiting)

    def keep_or_undo(self, connection: psycopg.Connection[Any], *, dry_run: bool) -> bool:
        """Return whether the caller may commit the plan; roll back a dry run and a plan with a violation."""
        keep = not (dry_run or any(self.violations.values()))
        if not keep:
            connection.rollback()
        return keep


class Unplaced(NamedTuple):
    """How many enrolments without a slot were written."""

    completed: int
    deferred: int  # with a new or another reason


class Planner:
    """Makes one plan, one method a phase: settle, read, revoke, select, assign, write, and at most one retry.

    connection      without a transaction; the caller commits or rolls back the plan
    now             an aware instant; the plan is made for the planning day that contains it
    considered      sequence_id, contact_id, step_id, round: only these candidates may get a slot, and those
                    that the plan itself advances or revokes. All others wait for the next plan. None: all
                    candidates
    on_plan_ready   is called with the plan in a thread while Postgres writes the rows, and again for a retry
    """

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        settings: PipelineSettings,
        now: datetime,
        considered: pd.DataFrame | None = None,
        traces: Traces = OFF,
        on_plan_ready: Callable[[Plan], None] = lambda _: None,
    ) -> None:
        self.connection = connection
        self.repository = PlanRepository(connection, settings.address_pads)
        self.settings = settings
        self.day = planning_day_at(now, settings)
        self.considered = considered
        self.traces = traces
        self.on_plan_ready = on_plan_ready
        self.seconds: dict[str, float] = {}

    def make_plan(self) -> Plan:
        """Run all phases and return the plan, not committed."""
        self.repository.execute("lock_planner")
        reach(Failpoint.PLAN_LOCKED)
        self.repository.execute("give_memory")
        self.settle()
        with ThreadPoolExecutor(max_workers=THREADS) as executor:
            self.choose(executor)
            try:
                plan = self.assign_and_write(executor)
            except UniqueViolation:
                plan = self.retry(executor)
        reach(Failpoint.PLAN_WRITTEN)
        return plan

    def settle(self) -> None:
        """Apply the finished sends, expire the overdue ones, and recompute next_send of changed steps."""
        self.since = oldest_live(self.connection, self.settings, self.day.begins)
        self.adds_to_day = self.repository.has_sends(self.day.day, self.day.begins, self.day.ends)
        window = {"since": self.since, "now": self.day.now}
        settles = self.settings.unknown_settles
        with self._timed("apply finished sends"):
            keys = find_unapplied(self.connection, **window, unknown_settles=settles)
            self.applied = apply_sends(self.connection, keys, now=self.day.now, unknown_settles=settles)
            expired = self.connection.execute(query("dispatch", "expire_overdue"), window).fetchall()
            self.repository.execute("end_replied_meanwhile")
            self.expired = pd.DataFrame(expired, columns=KEY)
            self.changed_steps = self.repository.recompute_changed_steps()

    def choose(self, executor: Executor) -> None:
        """Read what is due, revoke what is no longer valid, and select the candidates."""
        due = self.read(executor)
        self.revoke(due)
        self.select(due)

    def read(self, executor: Executor) -> pd.DataFrame:
        """Read the snapshot, and return the due enrolments; start to read what can be planned again."""
        with self._timed("read due contacts"):
            self.snapshot, due, self.gates = read_due(self.repository, self.day, self.since, executor)
            self.reusable_rows = executor.submit(self.repository.reusable_rows, self.snapshot.due_until)
        return due

    def revoke(self, due: pd.DataFrame) -> None:
        """Cancel the planned rows whose slot is no longer valid."""
        with self._timed("release places"):
            self.snapshot, self.cancelled = revoke(self.repository, self.snapshot, due, self.gates)

    def select(self, due: pd.DataFrame) -> None:
        """Sort the due enrolments into candidates, ineligible and exhausted ones."""
        with self._timed("assign"):
            advanced = pd.DataFrame(self.applied.keys, columns=KEY)
            moved = pd.concat([self.cancelled, self.expired, advanced])
            self.moved = len(moved) > 0
            eligibility = choose_candidates(due, self.snapshot, self.gates)
            self.eligibility = only_considered(eligibility, self.considered, moved)
            self.reusable = pd.concat([self.reusable_rows.result(), self.cancelled])

    def assign_and_write(self, executor: Executor) -> Plan:
        """Assign slots and write them.

        Raises UniqueViolation, with nothing written, if the ledger has an unexpected row for a due step: a
        mailed step has got a number that is due again, or the row is older than `since`.
        """
        with self.connection.transaction():
            plan, unplaced = self.assign(executor)
            observed = executor.submit(self.on_plan_ready, plan)
            try:
                self.write(plan, unplaced)
            finally:
                wait([observed])  # a callback for a plan that Postgres refused must not meet the next plan's
        observed.result()
        return plan

    def assign(self, executor: Executor) -> tuple[Plan, Future[Unplaced]]:
        """Assign mailboxes, then times; write the deferrals and completed enrolments meanwhile."""
        with self._timed("assign"):
            assignment = assign_intervals(self.eligibility.candidates, self.snapshot)
            unplaced = executor.submit(self._write_unplaced, assignment)
            candidates = assign_times(assignment.served, self.snapshot, self.settings.send_grace_seconds)
        revoked = len(self.cancelled) + len(self.expired)
        ineligible = self.eligibility.ineligible
        plan = Plan(
            self.snapshot,
            candidates,
            ineligible,
            self.applied,
            revoked,
            self.adds_to_day,
            self.seconds,
            executor.submit(assignment.find_cuts),
        )
        return plan, unplaced

    def write(self, plan: Plan, unplaced: Future[Unplaced]) -> None:
        """Write the slots as rows, each mailbox's limit, and the plan's proof, which is found meanwhile."""
        with self._timed("write"):
            plan.completed, deferred = unplaced.result()
            candidates = plan.candidates
            again = are_among(candidates, self.reusable, ["step_id", "round"])
            self.repository.enter(candidates, writing_order(candidates), again)
            # A plan that changes nothing leaves the proof of the one before it, too.
            changes = deferred or plan.completed or len(plan.placed) or self.moved
            if changes or not self.repository.has_cuts():
                self.repository.keep_cuts(self.day.day, self.day.now, plan.cuts)
            # Last: the gate before DATA waits for these rows until the plan is committed.
            self.repository.allow(self.snapshot.windows)
            self.repository.raise_ramp_ups(self.snapshot.raised)
            self.repository.clear_changed_steps(self.changed_steps)

    def retry(self, executor: Executor) -> Plan:
        """Assign and write again after replacing the steps that were mailed already by the next ones."""
        with self._timed("assign"):
            written = self.repository.written(self.snapshot.due_until)
            self.eligibility, self.reusable = skip_mailed(self.repository, self.eligibility, written)
        return self.assign_and_write(executor)

    def _write_unplaced(self, assignment: Assignment) -> Unplaced:
        """Write the deferrals and complete the exhausted enrolments."""
        completed = self.repository.complete(self.eligibility.exhausted)
        columns = ["sequence_id", "contact_id", "reason"]
        served, ineligible = assignment.served[[*columns, "mailbox_id"]], self.eligibility.ineligible[columns]
        waiting = find_waiting(served, ineligible)
        day, snapshot = self.day.day, self.snapshot
        return Unplaced(completed, self.repository.defer(waiting, day, snapshot.due_until, snapshot.since))

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        began = time.perf_counter()
        with self.traces.span(phase):
            yield
        self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - began


def make_plan(
    connection: psycopg.Connection[Any],
    settings: PipelineSettings,
    now: datetime,
    considered: pd.DataFrame | None = None,
    traces: Traces = OFF,
    on_plan_ready: Callable[[Plan], None] = lambda _: None,
) -> Plan:
    """Plan all that is due into the rest of the planning day of `now` (see Planner); the caller commits."""
    return Planner(connection, settings, now, considered, traces, on_plan_ready).make_plan()


def trace_sends(traces: Traces, plan: Plan, began: int) -> None:
    """Trace the sends that a committed plan placed and the results it applied; `began` in nanoseconds."""
    traces.of_sends("plan", keys_of(plan.placed), began)
    traces.of_sends("result", plan.applied.keys, began)


def revoke(
    repository: PlanRepository,
    snapshot: PlanningSnapshot,
    due: pd.DataFrame,
    gates: ClosedGates,
) -> tuple[PlanningSnapshot, pd.DataFrame]:
    """Cancel the planned rows whose slot is not valid; return the snapshot without them, and their keys."""
    planned = snapshot.rows[snapshot.rows["planned"]]
    if planned.empty:
        return snapshot, planned[KEY]
    gone = planned[~are_among(planned, due, ["round"])]
    known = repository.enrolments(gone)
    enrolments = pd.concat([due.assign(status=EnrolmentStatus.ACTIVE.value)[list(known)], known])
    reasons = find_revoked(snapshot, seconds_of(snapshot.day.now), gates, enrolments)
    if not (reasons != "").any():
        return snapshot, snapshot.rows[KEY][:0]
    cancelled = repository.cancel(snapshot.rows[reasons != ""], reasons[reasons != ""])
    # A revoked row that was not cancelled has been dispatched meanwhile: the worker checks the gates again.
    rows = snapshot.rows.assign(planned=snapshot.rows["planned"] & (reasons == ""))
    rows = rows[~are_among(rows, cancelled, ["step_id", "round"])].reset_index(drop=True)
    first = read_first_mails(repository, snapshot.day, snapshot.earliest, snapshot.sequences, snapshot.rows)
    return replace(snapshot, rows=rows, first_mails=first), cancelled


def skip_mailed(
    repository: PlanRepository, eligibility: Eligibility, written: pd.DataFrame
) -> tuple[Eligibility, pd.DataFrame]:
    """Replace each candidate's step that was mailed already by its next step that was not.

    `written` are the rows that the ledger has for due steps (PlanRepository.written). Returns the
    eligibility, in which candidates without a next step are exhausted and those with a row under way are
    ineligible, and the rows that can be planned again.
    """
    candidates = eligibility.candidates
    held = are_among(candidates, written[written["row_is"] == UNDER_WAY], ["step_id", "round"])
    unknown = candidates[held].assign(reason=Deferral.UNKNOWN_OUTCOME.value)
    ineligible = pd.concat([eligibility.ineligible, unknown])
    candidates = candidates[~held]
    mailed = are_among(candidates, written[written["row_is"] == MAILED], ["step_id", "round"])
    found = repository.next_steps(candidates["sequence_id"][mailed], candidates["contact_id"][mailed])
    moved = (
        candidates[mailed]
        .drop(columns=["step_id", "step_number"])
        .merge(found, on=["sequence_id", "contact_id"])
    )
    has_step = moved["step_id"] > 0
    remaining = pd.concat([candidates[~mailed], moved[has_step].drop(columns="row_is")])
    reusable = [
        written[written["row_is"] == REUSABLE_ROW],
        moved[moved["row_is"] == REUSABLE_ROW][list(written)],
    ]
    exhausted = pd.concat([eligibility.exhausted, moved[~has_step][list(eligibility.exhausted)]])
    return Eligibility(in_due_order(remaining), ineligible, exhausted), pd.concat(reusable)
