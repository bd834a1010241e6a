"""Assigns a mailbox and a time to each candidate, on a snapshot."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sequence_pipelines.planning.engine.allocation import allocate
from sequence_pipelines.planning.engine.array_ops import stable_order
from sequence_pipelines.planning.engine.capacity import new_left
from sequence_pipelines.planning.engine.pacing import pace
from sequence_pipelines.planning.engine.snapshot import PlanningSnapshot
from sequence_pipelines.planning.engine.windows import epoch_day

QUARTER = 900  # seconds: the longest delay of an SQS message, and how far ahead a dispatch reads


def assign(candidates: pd.DataFrame, snapshot: PlanningSnapshot, grace_seconds: int) -> pd.DataFrame:
    """Return the candidates with mailbox_id (0: waits), reason, send_day, send_at, not_after and plan_day."""
    return assign_times(assign_mailboxes(candidates, snapshot), snapshot, grace_seconds)


def assign_mailboxes(candidates: pd.DataFrame, snapshot: PlanningSnapshot) -> pd.DataFrame:
    """Return the candidates with mailbox_id, reason, and turn: their position in the order of service.

    A candidate that waits has mailbox_id 0 and a reason. A follow-up whose mailbox is inactive or deleted
    goes to another mailbox of its sequence, as a new thread.
    """
    at = pd.Index(snapshot.sequences["sequence_id"]).get_indexer(pd.Index(candidates["sequence_id"]))
    candidates = candidates.assign(
        priority=snapshot.sequences["priority"].to_numpy()[at] if len(at) else 0,
        overdue=epoch_day(snapshot.day.day) - candidates["due_day"],
    )
    active = snapshot.mailboxes["mailbox_id"][snapshot.mailboxes["is_active"].to_numpy(bool)]
    pinned = candidates["pinned_mailbox_id"].where(candidates["pinned_mailbox_id"].isin(active), 0)
    found = allocate(
        candidates.assign(pinned_mailbox_id=pinned),
        snapshot.routes,
        snapshot.mailbox_capacity,
        new_left(snapshot.sequences, snapshot.first_mails),
    )
    return pd.concat([candidates, found], axis=1)


def assign_times(served: pd.DataFrame, snapshot: PlanningSnapshot, grace_seconds: int) -> pd.DataFrame:
    """Return what assign_mailboxes returned, with the times of the mails instead of turn.

    Instants are epoch seconds, days epoch days. `not_after` is the earliest of the window's end, the planning
    day's end, and send_at + `grace_seconds`. A candidate that waits has 0 for send_day, send_at and
    window_ends.
    """
    plan = served.drop(columns="turn")
    in_turn = np.empty(len(plan), dtype=np.int64)
    in_turn[served["turn"]] = np.arange(len(plan))
    mailbox_ids = plan["mailbox_id"].to_numpy()
    placed = in_turn[mailbox_ids[in_turn] > 0]
    intervals = snapshot.open_intervals.sort_values(["mailbox_id", "opens"], ignore_index=True)
    paced = pace(mailbox_ids[placed], snapshot.mailboxes, intervals, snapshot.rows)
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
