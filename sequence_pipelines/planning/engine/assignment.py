"""Assigns a mailbox and a time to each candidate, on a snapshot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sequence_pipelines.planning.engine.allocation import allocate
from sequence_pipelines.planning.engine.array_ops import stable_order
from sequence_pipelines.planning.engine.capacity import first_mails_left
from sequence_pipelines.planning.engine.pacing import pace
from sequence_pipelines.planning.engine.proof import Cut
from sequence_pipelines.planning.engine.snapshot import PlanningSnapshot
from sequence_pipelines.planning.engine.ways import find_ways
from sequence_pipelines.planning.engine.windows import epoch_day

QUARTER = 900  # seconds: the longest delay of an SQS message, and how far ahead a dispatch reads


@dataclass(frozen=True)
class Assignment:
    """The candidates with what allocate found for them, and how to find the cuts that prove the plan."""

    served: pd.DataFrame
    find_cuts: Callable[[], list[Cut]]


def assign(candidates: pd.DataFrame, snapshot: PlanningSnapshot, grace_seconds: int) -> pd.DataFrame:
    """Return the candidates with mailbox_id (0: waits), reason, send_day, send_at, not_after and plan_day."""
    return assign_times(assign_intervals(candidates, snapshot).served, snapshot, grace_seconds)


def assign_intervals(candidates: pd.DataFrame, snapshot: PlanningSnapshot) -> Assignment:
    """Return the candidates with their interval or the reason why they wait.

    A candidate that waits has mailbox_id 0 and a reason. A follow-up whose mailbox is inactive or deleted
    goes to another mailbox of its sequence, as a new thread.
    """
    at = pd.Index(snapshot.sequences["sequence_id"]).get_indexer(pd.Index(candidates["sequence_id"]))
    candidates = candidates.assign(priority=snapshot.sequences["priority"].to_numpy()[at] if len(at) else 0)
    ways = find_ways(
        candidates,
        snapshot.mailboxes,
        snapshot.routes,
        snapshot.open_intervals,
        snapshot.rows,
        snapshot.day.closes,
    )
    found = allocate(
        candidates,
        ways,
        snapshot.routes,
        snapshot.mailbox_capacity,
        snapshot.open_intervals,
        first_mails_left(snapshot.sequences, snapshot.first_mails),
        epoch_day(snapshot.day.day),
    )
    return Assignment(pd.concat([candidates, found.found], axis=1), found.find_cuts)


def assign_times(served: pd.DataFrame, snapshot: PlanningSnapshot, grace_seconds: int) -> pd.DataFrame:
    """Return what assign_intervals returned, with the times of the mails instead of the turn.

    Instants are epoch seconds, days epoch days. `not_after` is the earliest of the window's end, the planning
    day's end, and send_at + `grace_seconds`. A candidate that waits has 0 for send_day, send_at and
    window_ends.
    """
    plan = served.drop(columns=["turn", "interval", "class"])
    in_turn = np.empty(len(plan), dtype=np.int64)
    in_turn[served["turn"]] = np.arange(len(plan))
    interval = served["interval"].to_numpy()
    placed = in_turn[interval[in_turn] >= 0]
    paced = pace(interval[placed], snapshot.mailboxes, snapshot.open_intervals, snapshot.rows)
    for column in ("send_day", "send_at", "window_ends"):
        values = np.zeros(len(plan), dtype=np.int64)
        values[placed] = paced[column].to_numpy()
        plan[column] = values
    latest = np.minimum(plan["window_ends"], snapshot.day.closes)
    return plan.assign(
        not_after=np.minimum(latest, plan["send_at"] + grace_seconds), plan_day=epoch_day(snapshot.day.day)
    )


def find_waiting(assigned: pd.DataFrame, ineligible: pd.DataFrame) -> pd.DataFrame:
    """Return the candidates without a slot and the ineligible enrolments, with their `reason`."""
    waiting = assigned[assigned["mailbox_id"] == 0]
    return pd.concat([waiting.assign(reason=waiting["reason"].astype(object)), ineligible], ignore_index=True)


def writing_order(assigned: pd.DataFrame) -> np.ndarray:
    """Return the positions of the candidates that have a slot, in the order of writing.

    They are ordered by the quarter of an hour of their dispatch, and then by the ledger's key, in which the
    candidates come. So the rows of one dispatch are neighbours on disk, and the key's index is filled in its
    own order.
    """
    placed = np.flatnonzero(assigned["mailbox_id"] > 0)
    quarter = assigned["send_at"].to_numpy()[placed] // QUARTER
    return placed[stable_order(quarter - quarter.min(initial=np.iinfo(np.int64).max))]
