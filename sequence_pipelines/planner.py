"""Makes a plan: one transaction under one lock, whichever day's run asks for it.

Everything that is due by the current planning day is planned into what is left of it, so the order and number
of runs change no row.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import psycopg

from sequence_pipelines.advancing import Applied, apply_sends, find_unapplied
from sequence_pipelines.candidates import GATES, are_among, choose_candidates, read_due, skip_mailed
from sequence_pipelines.ledger import Ledger, seconds_of
from sequence_pipelines.picture import Day, Picture, read_picture
from sequence_pipelines.planning import new_left, plan_places
from sequence_pipelines.planning.allocation import stable_order
from sequence_pipelines.planning.windows import epoch_day
from sequence_pipelines.releasing import find_released
from sequence_store.queries import query
from sequence_store.settings import PipelineSettings

CLOSED = (*GATES, "sequence_inactive", "one_mail_a_day")
QUARTER = 900  # seconds that SQS delays a message at most, and a dispatch looks ahead
KEY = ["sequence_id", "contact_id", "step_id", "round"]


@dataclass
class Plan:
    """What a plan did; `placed` and `waiting` are candidates with mailbox_id, send_at or reason."""

    placed: pd.DataFrame
    waiting: pd.DataFrame
    picture: Picture
    applied: Applied
    released: int = 0
    completed: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def day(self) -> Day:
        return self.picture.day


def make_plan(
    connection: psycopg.Connection[Any],
    settings: PipelineSettings,
    now: datetime,
    considered: pd.DataFrame | None = None,
) -> Plan:
    """Plan everything due into what is left of the planning day of `now`; the caller commits.

    `considered` (columns sequence_id, contact_id, step_id, round) are the only candidates that may get a
    place, beside those whose place this plan releases; None considers all that is due.
    """
    ledger = Ledger(connection, settings.address_pads)
    seconds: dict[str, float] = {}
    ledger.execute("lock_planner")
    ledger.execute("give_memory")
    day = Day.at(now, settings)
    since = ledger.oldest_live(day.begins)
    with _timed(seconds, "apply finished sends"):
        keys = find_unapplied(connection, since=since, now=now, unknown_settles=settings.unknown_settles)
        applied = apply_sends(connection, keys, now=now, unknown_settles=settings.unknown_settles)
        expired = connection.execute(
            query("dispatch", "expire_overdue"), {"since": since, "now": now}
        ).fetchall()
    with _timed(seconds, "read due contacts"):
        picture = read_picture(ledger, day, since)
        unmailable = ledger.unmailable()
        due = read_due(ledger, picture, unmailable)
    with _timed(seconds, "release places"):
        picture, released = release(ledger, picture, due, unmailable)
        released = pd.concat([released, pd.DataFrame(expired, columns=KEY)])
        candidates, ended = choose_candidates(due, picture)
        candidates = _still_considered(candidates, considered, released)
    with _timed(seconds, "assign"), ThreadPoolExecutor(max_workers=1) as beside:
        looked_up = beside.submit(ledger.written, day.day)  # Postgres looks while we compute
        plan = assign(candidates, picture, settings.send_grace_seconds)
        candidates, written, mailed = skip_mailed(ledger, candidates, looked_up.result())
        if len(mailed):
            plan = assign(candidates, picture, settings.send_grace_seconds)
        placed, waiting = split(plan)
    with _timed(seconds, "write"):
        completed = ledger.complete(pd.concat([ended, mailed]))
        ledger.defer(waiting, day.day, since)
        ledger.enter(placed, are_among(placed, written, []))
        ledger.allow(picture.windows)
    return Plan(placed, waiting, picture, applied, len(released), completed, seconds)


def release(
    ledger: Ledger, picture: Picture, due: pd.DataFrame, unmailable: pd.DataFrame
) -> tuple[Picture, pd.DataFrame]:
    """Cancel the planned rows whose place does not hold; return the picture without them, and their keys."""
    planned = picture.rows[picture.rows["planned"]]
    gone = planned[~are_among(planned, due, ["round"])]
    columns = ["sequence_id", "contact_id", "round", "status"]
    enrolments = pd.concat([due.assign(status="active")[columns], ledger.enrolments(gone)])
    reasons = find_released(picture, seconds_of(picture.day.now), unmailable, enrolments)
    if not (reasons != "").any():
        return picture, picture.rows[KEY][:0]
    cancelled = ledger.cancel(picture.rows[reasons != ""], reasons[reasons != ""])
    rows = picture.rows[~are_among(picture.rows, cancelled, ["step_id", "round"])].reset_index(drop=True)
    return replace(picture, rows=rows), cancelled


def assign(candidates: pd.DataFrame, picture: Picture, grace_seconds: int) -> pd.DataFrame:
    """Return the candidates with mailbox_id, send_day, send_at, not_after, plan_day; mailbox_id 0: reason."""
    day = picture.day
    at = pd.Index(picture.sequences["sequence_id"]).get_indexer(pd.Index(candidates["sequence_id"]))
    candidates = candidates.assign(
        priority=picture.sequences["priority"].to_numpy()[at] if len(at) else 0,
        overdue=epoch_day(day.day) - candidates["due_day"],
    )
    gate = _gates(candidates, picture, at)
    shut = gate > 0
    planned = plan_places(
        candidates if not shut.any() else candidates[~shut].reset_index(drop=True),
        mailboxes=picture.mailboxes,
        routes=picture.routes,
        pieces=picture.pieces,
        places=picture.rows,
        room=picture.room,
        new_left=new_left(picture.sequences, picture.first_mails),
    )
    plan = planned
    if shut.any():
        refused = candidates[shut].assign(mailbox_id=0, send_day=0, send_at=0, window_ends=0)
        refused["reason"] = pd.Categorical.from_codes(gate[shut], categories=pd.Index(CLOSED))
        plan = _joined(planned, refused)
    not_after = np.minimum(np.minimum(plan["window_ends"], day.closes), plan["send_at"] + grace_seconds)
    return plan.assign(not_after=not_after, plan_day=epoch_day(day.day))


def split(plan: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return who has a place, in the order of writing, and who waits.

    Written by the quarter of an hour that they are dispatched in, and within it by the ledger's key: the rows of a
    dispatch lie together, and the key's index is filled in its own order.
    """
    placed = np.flatnonzero(plan["mailbox_id"] > 0)
    quarter = plan["send_at"].to_numpy()[placed] // QUARTER
    order = stable_order(quarter - quarter.min(initial=np.iinfo(np.int64).max))
    return plan.iloc[placed[order]], plan[plan["mailbox_id"] == 0]


def _gates(candidates: pd.DataFrame, picture: Picture, sequence: np.ndarray) -> np.ndarray:
    """Return why a candidate may not even ask for a place, as an index of CLOSED; 0 where it may."""
    active = picture.sequences["is_active"].to_numpy(bool)
    mailed_today = picture.rows["contact_id"][picture.rows["today"]]
    return np.select(
        [
            candidates["gate"].to_numpy() > 0,
            ~active[sequence] if len(sequence) else np.zeros(0, dtype=bool),
            np.isin(candidates["contact_id"].to_numpy(), mailed_today),
        ],
        [candidates["gate"].to_numpy(), CLOSED.index("sequence_inactive"), CLOSED.index("one_mail_a_day")],
        default=0,
    )


def _joined(planned: pd.DataFrame, refused: pd.DataFrame) -> pd.DataFrame:
    reason = pd.api.types.union_categoricals([planned["reason"], refused["reason"]])
    return pd.concat([planned, refused], ignore_index=True).assign(reason=reason)


def _still_considered(
    candidates: pd.DataFrame, considered: pd.DataFrame | None, released: pd.DataFrame
) -> pd.DataFrame:
    if considered is None:
        return candidates
    known = are_among(candidates, considered, ["step_id", "round"]) | are_among(candidates, released, [])
    return candidates if known.all() else candidates[known].reset_index(drop=True)


@contextmanager
def _timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds[phase] = seconds.get(phase, 0.0) + time.perf_counter() - began
