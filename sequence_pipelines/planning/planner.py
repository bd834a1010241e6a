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
from sequence_pipelines.planning.engine.assignment import give_mailboxes, give_times, new_left
from sequence_pipelines.planning.engine.eligibility import (
    Candidates,
    are_among,
    choose_candidates,
    read_day,
    skip_mailed,
)
from sequence_pipelines.planning.engine.plan_invariants import find_violations
from sequence_pipelines.planning.engine.revocation import find_released
from sequence_pipelines.planning.engine.windows import epoch_day
from sequence_pipelines.planning.repository import KEY, Ledger, keys_of, seconds_of
from sequence_pipelines.planning.snapshot_reader import Day, Picture, read_first_mails
from sequence_pipelines.results.advance import Applied, apply_sends, find_unapplied
from sequence_store.failpoints import CrashPoint, reach
from sequence_store.postgres.lookback import oldest_live
from sequence_store.postgres.queries import query
from sequence_store.settings import PipelineSettings
from sequence_store.tracing.traces import OFF, Traces

QUARTER = 900  # seconds that SQS delays a message at most, and a dispatch looks ahead


@dataclass
class Plan:
    """What a plan did."""

    picture: Picture
    asked: pd.DataFrame  # who asked for a place, with mailbox_id (0: none), send_at, reason
    refused: pd.DataFrame  # who might not ask, with the reason
    applied: Applied
    released: int
    seconds: dict[str, float]
    completed: int = 0  # enrolments that had no step left, once it is written

    @property
    def day(self) -> Day:
        return self.picture.day

    @cached_property
    def placed(self) -> pd.DataFrame:
        return self.asked[self.asked["mailbox_id"] > 0]

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The ledger's rows as this plan leaves them, as Ledger.rows gives them."""
        before = self.picture.rows
        flags = {"planned": True, "under_way": True, "today": True}
        added = self.placed[list(before.columns.difference(list(flags)))].assign(**flags)
        return pd.concat([before, added], ignore_index=True)[list(before)]

    @cached_property
    def waiting(self) -> pd.DataFrame:
        """All who are due and have no place, with the reason."""
        return find_waiting(self.asked, self.refused)

    @cached_property
    def violations(self) -> dict[str, int]:
        """What in the plan breaks each of its invariants."""
        return find_violations(self.rows, self.picture, self.placed, self.waiting)

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
    meanwhile: Callable[[Plan], None] = lambda _: None,
) -> Plan:
    """Plan everything due into what is left of the planning day of `now`; the caller commits.

    `considered` (columns sequence_id, contact_id, step_id, round) are the only candidates that may get a
    place, beside those whose place this plan releases or whose mail it applies; all others wait for the next plan. None
    considers all that is due. `meanwhile` looks at the plan in a thread of its own while Postgres takes its rows; anew where
    Postgres refused them and there is another plan.
    """
    ledger = Ledger(connection, settings.address_pads)
    seconds: dict[str, float] = {}
    ledger.execute("lock_planner")
    reach(CrashPoint.PLAN_LOCKED)
    ledger.execute("give_memory")
    day = Day.at(now, settings)
    since = oldest_live(connection, settings, day.begins)
    with _timed(traces, seconds, "apply finished sends"):
        keys = find_unapplied(connection, since=since, now=now, unknown_settles=settings.unknown_settles)
        applied = apply_sends(connection, keys, now=now, unknown_settles=settings.unknown_settles)
        expired = connection.execute(
            query("dispatch", "expire_overdue"), {"since": since, "now": now}
        ).fetchall()
    with ThreadPoolExecutor(max_workers=2) as beside:
        with _timed(traces, seconds, "read due contacts"):
            picture, due, unmailable = read_day(ledger, day, since, beside)
            open_rows = beside.submit(ledger.open_rows, day.day)
        with _timed(traces, seconds, "release places"):
            picture, cancelled = release(ledger, picture, due, unmailable)
            released = pd.concat([cancelled, pd.DataFrame(expired, columns=KEY)])
        with _timed(traces, seconds, "assign"):
            moved = pd.concat([released, pd.DataFrame(applied.keys, columns=KEY)])
            candidates = _only_considered(choose_candidates(due, picture, unmailable), considered, moved)
            retaken = pd.concat([open_rows.result(), cancelled])

        def written(candidates: Candidates, retaken: pd.DataFrame) -> Plan:
            """Give places, and write them.

            Raises UniqueViolation, with nothing written, where the ledger has a row that is not among the `retaken`
            ones: a step that was mailed has got a number that is due again, or nobody looked back as far as the row lies.
            """
            with connection.transaction():
                with _timed(traces, seconds, "assign"):
                    served = choose_mailboxes(candidates.asking, picture)
                    completed = beside.submit(_write_others, ledger, picture, candidates, served)
                    asked = choose_times(served, picture, settings.send_grace_seconds)
                plan = Plan(picture, asked, candidates.refused, applied, len(released), seconds)
                looked = beside.submit(meanwhile, plan)
                try:
                    with _timed(traces, seconds, "write"):
                        plan.completed = completed.result()
                        _write_places(ledger, plan, retaken)
                finally:
                    wait([looked])  # who looks at a plan that Postgres refused is not in the next one's way
            looked.result()
            return plan

        try:
            plan = written(candidates, retaken)
        except UniqueViolation:
            with _timed(traces, seconds, "assign"):
                candidates, retaken = skip_mailed(ledger, candidates, ledger.written(day.day))
            plan = written(candidates, retaken)
        reach(CrashPoint.PLAN_WRITTEN)
        return plan


def trace_sends(traces: Traces, plan: Plan, began: int) -> None:
    """Tell of each send that the plan placed, and of the results that it applied, once it is committed."""
    traces.of_sends("plan", keys_of(plan.placed), began)
    traces.of_sends("result", plan.applied.keys, began)


def _write_others(ledger: Ledger, picture: Picture, candidates: Candidates, served: pd.DataFrame) -> int:
    """Write who waits and who has no step left; return how many these are. Times are given meanwhile."""
    completed = ledger.complete(candidates.ended)
    ledger.defer(find_waiting(served, candidates.refused), picture.day.day, picture.since)
    return completed


def _write_places(ledger: Ledger, plan: Plan, retaken: pd.DataFrame) -> None:
    asked = plan.asked
    ledger.enter(asked, writing_order(asked), are_among(asked, retaken, ["step_id", "round"]))
    # last: a worker's gate waits for these rows until the plan is committed
    ledger.allow(plan.picture.windows)


def release(
    ledger: Ledger, picture: Picture, due: pd.DataFrame, unmailable: pd.DataFrame
) -> tuple[Picture, pd.DataFrame]:
    """Cancel the planned rows whose place does not hold; return the picture without them, and their keys."""
    planned = picture.rows[picture.rows["planned"]]
    if planned.empty:
        return picture, planned[KEY]
    gone = planned[~are_among(planned, due, ["round"])]
    columns = ["sequence_id", "contact_id", "round", "status"]
    enrolments = pd.concat([due.assign(status="active")[columns], ledger.enrolments(gone)])
    reasons = find_released(picture, seconds_of(picture.day.now), unmailable, enrolments)
    if not (reasons != "").any():
        return picture, picture.rows[KEY][:0]
    cancelled = ledger.cancel(picture.rows[reasons != ""], reasons[reasons != ""])
    # who was asked for and is not among them was dispatched meanwhile: the worker reads the gates again
    rows = picture.rows.assign(planned=picture.rows["planned"] & (reasons == ""))
    rows = rows[~are_among(rows, cancelled, ["step_id", "round"])].reset_index(drop=True)
    first = read_first_mails(ledger, picture.day, picture.earliest, picture.sequences, picture.mailboxes)
    return replace(picture, rows=rows, first_mails=first), cancelled


def assign(asking: pd.DataFrame, picture: Picture, grace_seconds: int) -> pd.DataFrame:
    """Return who asks with mailbox_id, send_day, send_at, not_after, plan_day; mailbox_id 0: reason."""
    return choose_times(choose_mailboxes(asking, picture), picture, grace_seconds)


def choose_mailboxes(asking: pd.DataFrame, picture: Picture) -> pd.DataFrame:
    """Return who asks as give_mailboxes does: with mailbox_id (0: none), reason and turn."""
    at = pd.Index(picture.sequences["sequence_id"]).get_indexer(pd.Index(asking["sequence_id"]))
    return give_mailboxes(
        asking.assign(
            priority=picture.sequences["priority"].to_numpy()[at] if len(at) else 0,
            overdue=epoch_day(picture.day.day) - asking["due_day"],
        ),
        routes=picture.routes,
        room=picture.room,
        new_left=new_left(picture.sequences, picture.first_mails),
    )


def choose_times(served: pd.DataFrame, picture: Picture, grace_seconds: int) -> pd.DataFrame:
    """Return who asks, as `choose_mailboxes` did, with the times of their mails."""
    day = picture.day
    asked = give_times(served, mailboxes=picture.mailboxes, pieces=picture.pieces, places=picture.rows)
    not_after = np.minimum(np.minimum(asked["window_ends"], day.closes), asked["send_at"] + grace_seconds)
    return asked.assign(not_after=not_after, plan_day=epoch_day(day.day))


def find_waiting(asked: pd.DataFrame, refused: pd.DataFrame) -> pd.DataFrame:
    """Return who has no place, with the reason."""
    waiting = asked[asked["mailbox_id"] == 0]
    return pd.concat([waiting.assign(reason=waiting["reason"].astype(object)), refused], ignore_index=True)


def writing_order(asked: pd.DataFrame) -> np.ndarray:
    """Return the rows of those who have a place, in the order of writing.

    By the quarter of an hour that they are dispatched in, and within it by the ledger's key: the rows of a
    dispatch lie together, and the key's index is filled in its own order.
    """
    placed = np.flatnonzero(asked["mailbox_id"] > 0)
    quarter = asked["send_at"].to_numpy()[placed] // QUARTER
    return placed[stable_order(quarter - quarter.min(initial=np.iinfo(np.int64).max))]


def _only_considered(
    candidates: Candidates, considered: pd.DataFrame | None, moved: pd.DataFrame
) -> Candidates:
    """Refuse who asks and is neither considered nor moved by this plan: they became due while it was on its way."""
    if considered is None:
        return candidates
    asking = candidates.asking
    known = are_among(asking, considered, ["step_id", "round"])
    if known.all():
        return candidates
    known |= are_among(asking, moved, [])
    late = asking[~known].assign(reason="came_later")
    return candidates._replace(
        asking=asking[known].reset_index(drop=True), refused=pd.concat([candidates.refused, late])
    )


@contextmanager
def _timed(traces: Traces, seconds: dict[str, float], phase: str) -> Iterator[None]:
    began = time.perf_counter()
    with traces.span(phase):
        yield
    seconds[phase] = seconds.get(phase, 0.0) + time.perf_counter() - began
