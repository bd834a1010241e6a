"""Who is due, with which step: the plan's candidates, and the enrolments that have no step left."""

from __future__ import annotations

from concurrent.futures import Executor
from datetime import datetime
from typing import NamedTuple

import numpy as np
import pandas as pd

from sequence_pipelines.planning.engine.array_ops import key_order
from sequence_pipelines.planning.repository import PlanRepository
from sequence_pipelines.planning.snapshot_reader import Day, PlanningSnapshot, ask_team, read_snapshot

GATES = ("", "contact_inactive", "suppressed", "invalid_address")
CONTACT_INACTIVE, SUPPRESSED, INVALID_ADDRESS, DELETED = 1, 2, 3, 4
WEAKEST_FIRST = (INVALID_ADDRESS, SUPPRESSED, CONTACT_INACTIVE, DELETED)
REUSABLE_ROW, MAILED, UNDER_WAY = 1, 2, 3  # what the ledger may have of a due step
STRIDE = 2**31  # more than a step's number can be


def read_day(
    repository: PlanRepository, day: Day, since: datetime, executor: Executor
) -> tuple[PlanningSnapshot, pd.DataFrame, pd.DataFrame]:
    """Return the day, its due enrolments as find_due gives them, and the contacts that get no mail.

    Postgres reads while we compute: the two threads of `beside` ask it for one table after the other.
    """
    team = ask_team(repository)
    enrolments = executor.submit(repository.due, day.day)
    unmailable = executor.submit(repository.unmailable)
    snapshot = read_snapshot(repository, day, since, team())
    _ = snapshot.mailbox_capacity
    return snapshot, find_due(enrolments.result(), snapshot.steps), unmailable.result()


def find_due(enrolments: pd.DataFrame, steps: pd.DataFrame) -> pd.DataFrame:
    """Return the active enrolments that are due, as Ledger.due read them, with their due step.

    By sequence, step and contact. Columns: sequence_id, contact_id, pinned_mailbox_id (0: none), step_id and
    step_number (0: none is left), due_day (epoch day), round, follow_up.
    """
    step_id, step_number, _ = find_due_steps(
        steps, enrolments["sequence_id"].to_numpy(), enrolments["current_step"].to_numpy()
    )
    columns = {
        "sequence_id": enrolments["sequence_id"],
        "contact_id": enrolments["contact_id"],
        "pinned_mailbox_id": enrolments["mailbox_id"],
        "step_id": step_id,
        "step_number": step_number,
        **{name: enrolments[name] for name in ("due_day", "round", "follow_up")},
    }
    return pd.DataFrame(columns, copy=False)


class Eligibility(NamedTuple):
    """The due enrolments, sorted out; enrolments of deleted sequences and contacts are in none of the three."""

    candidates: pd.DataFrame  # for a place
    ineligible: pd.DataFrame  # with their reason
    exhausted: pd.DataFrame  # no step is left


def choose_candidates(due: pd.DataFrame, snapshot: PlanningSnapshot, unmailable: pd.DataFrame) -> Eligibility:
    """Sort the due enrolments out, in their order; those that something is under way for are not due.

    unmailable   contact_id, gate (an index of GATES): the contacts that get no mail
    """
    at = pd.Index(snapshot.sequences["sequence_id"]).get_indexer(pd.Index(due["sequence_id"]))
    gate = _gates(due["contact_id"].to_numpy(), unmailable)
    keep = (
        (at >= 0) & (gate != DELETED) & ~are_among(due, snapshot.rows[snapshot.rows["under_way"]], ["round"])
    )
    left = due["step_id"].to_numpy() > 0
    reasons = {reason: gate == n for n, reason in enumerate(GATES) if n} | {
        "sequence_inactive": ~np.r_[snapshot.sequences["is_active"].to_numpy(bool), True][at],
        "one_mail_a_day": np.isin(due["contact_id"], snapshot.rows["contact_id"][snapshot.rows["today"]]),
    }
    shut = np.logical_or.reduce(list(reasons.values()))
    ineligible = np.flatnonzero(keep & left & shut)
    words = [np.full(len(ineligible), reason, dtype=object) for reason in reasons]
    why = np.select([closed[ineligible] for closed in reasons.values()], words, default="")
    return Eligibility(
        due[keep & left & ~shut].reset_index(drop=True),
        due.iloc[ineligible].assign(reason=why),
        due[keep & ~left].reset_index(drop=True),
    )


def skip_mailed(
    repository: PlanRepository, eligibility: Eligibility, written: pd.DataFrame
) -> tuple[Eligibility, pd.DataFrame]:
    """Give who asks for a step that was mailed already their next step that was not.

    `written` are the rows that the ledger has of due steps. Returns the candidates, with those that have no step left
    among the ended ones, and those that a row is under way for among the refused ones; and the open rows that may be taken
    again.
    """
    candidates = eligibility.candidates
    held = are_among(candidates, written[written["row_is"] == UNDER_WAY], ["step_id", "round"])
    ineligible = pd.concat([eligibility.ineligible, candidates[held].assign(reason="unknown_outcome")])
    candidates = candidates[~held]
    mailed = are_among(candidates, written[written["row_is"] == MAILED], ["step_id", "round"])
    found = repository.next_steps(candidates["sequence_id"][mailed], candidates["contact_id"][mailed])
    moved = (
        candidates[mailed]
        .drop(columns=["step_id", "step_number"])
        .merge(found, on=["sequence_id", "contact_id"])
    )
    left = moved["step_id"] > 0
    everybody = pd.concat([candidates[~mailed], moved[left].drop(columns="row_is")])
    rows = [written[written["row_is"] == REUSABLE_ROW], moved[moved["row_is"] == REUSABLE_ROW][list(written)]]
    exhausted = pd.concat([eligibility.exhausted, moved[~left][list(eligibility.exhausted)]])
    return Eligibility(_ordered(everybody), ineligible, exhausted), pd.concat(rows)


def find_due_steps(
    steps: pd.DataFrame, sequence_id: np.ndarray, current_step: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return id, number and delay of the lowest live step at or above current_step; 0 where there is none."""
    sequence_ids = np.unique(steps["sequence_id"].to_numpy())
    owners = np.searchsorted(sequence_ids, steps["sequence_id"].to_numpy())
    slots = owners * STRIDE + steps["step_number"].to_numpy()
    changes = (sequence_id[1:] != sequence_id[:-1]) | (current_step[1:] != current_step[:-1])
    starts = np.flatnonzero(np.r_[len(sequence_id) > 0, changes])  # they come in runs: one look for each
    sequence, step = sequence_id[starts], current_step[starts]
    at = np.searchsorted(slots, np.searchsorted(sequence_ids, sequence) * STRIDE + step)
    due = np.r_[steps["sequence_id"].to_numpy(), -1][at] == sequence
    lengths = np.diff(np.r_[starts, len(sequence_id)])
    step_id, step_number, delay_days = (
        np.repeat(np.where(due, np.r_[steps[column].to_numpy(), 0][at], 0), lengths)
        for column in ("step_id", "step_number", "delay_days")
    )
    return step_id, step_number, delay_days


def are_among(rows: pd.DataFrame, others: pd.DataFrame, also: list[str]) -> np.ndarray:
    """Return which `rows` have their sequence_id, contact_id and the columns `also` among the `others`."""
    key = ["sequence_id", "contact_id", *also]
    if rows.empty or others.empty:
        return np.zeros(len(rows), dtype=bool)
    if len(rows) == len(others) and all(np.array_equal(rows[c], others[c]) for c in key):
        return np.ones(len(rows), dtype=bool)
    code = np.zeros(len(rows) + len(others), dtype=np.int64)
    for column in key:
        codes, values = pd.factorize(np.r_[rows[column].to_numpy(), others[column].to_numpy()])
        code = pd.factorize(code * len(values) + codes)[0].astype(np.int64)
    return np.isin(code[: len(rows)], code[len(rows) :])


def _gates(contact_ids: np.ndarray, unmailable: pd.DataFrame) -> np.ndarray:
    gate = np.zeros(len(contact_ids), dtype=np.int64)
    for reason in WEAKEST_FIRST:  # the last word is the strongest reason's
        gate[np.isin(contact_ids, unmailable["contact_id"][unmailable["gate"] == reason])] = reason
    return gate


def _ordered(due: pd.DataFrame) -> pd.DataFrame:
    """Return the rows by sequence, step and contact."""
    order = key_order(*(due[column] for column in ("sequence_id", "step_number", "contact_id")))
    return due.iloc[order].reset_index(drop=True)
