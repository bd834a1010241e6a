"""Who is due, with which step: the plan's candidates, and the enrolments that have no step left."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sequence_pipelines.ledger import Ledger
from sequence_pipelines.picture import Picture

GATES = ("", "contact_inactive", "suppressed", "invalid_address")
CONTACT_INACTIVE, SUPPRESSED, INVALID_ADDRESS, DELETED = 1, 2, 3, 4
OPEN_ROW, MAILED = 1, 2  # what the ledger may have of a due step
STRIDE = 2**31  # more than a step's number can be


def read_due(ledger: Ledger, picture: Picture, unmailable: pd.DataFrame) -> pd.DataFrame:
    """Return the active enrolments that are due by the picture's day, with their due step.

    Columns: sequence_id, contact_id, pinned_mailbox_id (0: none), step_id and step_number (0: none is left), due_day
    (epoch day), round, follow_up, gate (an index of GATES).
    """
    sequence_id, current_step, contact_id, mailbox_id, packed = ledger.arrays("read_due", day=picture.day.day)
    step_id, step_number, _ = find_due_steps(picture.steps, sequence_id, current_step)
    return pd.DataFrame(
        {
            "sequence_id": sequence_id,
            "contact_id": contact_id,
            "pinned_mailbox_id": mailbox_id,
            "step_id": step_id,
            "step_number": step_number,
            "due_day": packed >> 20,
            "round": packed >> 4 & 0xFFFF,
            "follow_up": (packed & 1).astype(bool),
            "gate": _gates(contact_id, unmailable),
        }
    )


def choose_candidates(due: pd.DataFrame, picture: Picture) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return who may ask for a place, ordered by sequence and contact, and who has no step left.

    Enrolments of deleted sequences and contacts, and those that something is under way for, are neither.
    """
    keep = (
        due["sequence_id"].isin(picture.sequences["sequence_id"]).to_numpy()
        & (due["gate"].to_numpy() != DELETED)
        & ~are_among(due, picture.rows[picture.rows["under_way"]], ["round"])
    )
    left = due["step_id"].to_numpy() > 0
    return _ordered(due, keep & left), _ordered(due, keep & ~left)


def skip_mailed(ledger: Ledger, candidates: pd.DataFrame, written: pd.DataFrame) -> tuple[pd.DataFrame, ...]:
    """Give those whose due step was mailed already their next step that was not.

    Returns the candidates, the rows that the ledger has of their steps, and those that have no step left.
    """
    mailed = are_among(candidates, written[written["row_is"] == MAILED], [])
    if not mailed.any():
        return candidates, written, candidates[mailed]
    found = ledger.next_steps(candidates["sequence_id"][mailed], candidates["contact_id"][mailed])
    moved = (
        candidates[mailed]
        .drop(columns=["step_id", "step_number"])
        .merge(found, on=["sequence_id", "contact_id"])
    )
    left = moved["step_id"] > 0
    everybody = pd.concat([candidates[~mailed], moved[left].drop(columns="row_is")])
    rows = [written[written["row_is"] == OPEN_ROW], moved[moved["row_is"] == OPEN_ROW][list(written)]]
    return _ordered(everybody), pd.concat(rows), moved[~left]


def find_due_steps(
    steps: pd.DataFrame, sequence_id: np.ndarray, current_step: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return id, number and delay of the lowest live step at or above current_step; 0 where there is none."""
    sequence_ids = np.unique(steps["sequence_id"].to_numpy())
    owners = np.searchsorted(sequence_ids, steps["sequence_id"].to_numpy())
    places = owners * STRIDE + steps["step_number"].to_numpy()
    at = np.searchsorted(places, np.searchsorted(sequence_ids, sequence_id) * STRIDE + current_step)
    due = np.r_[steps["sequence_id"].to_numpy(), -1][at] == sequence_id
    step_id, step_number, delay_days = (
        np.where(due, np.r_[steps[column].to_numpy(), 0][at], 0)
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
    for reason in (
        INVALID_ADDRESS,
        SUPPRESSED,
        CONTACT_INACTIVE,
        DELETED,
    ):  # the last word is the strongest reason's
        gate[np.isin(contact_ids, unmailable["contact_id"][unmailable["gate"] == reason])] = reason
    return gate


def _ordered(due: pd.DataFrame, which: np.ndarray | None = None) -> pd.DataFrame:
    if which is not None and not which.all():
        due = due[which]
    order = np.lexsort((due["contact_id"].to_numpy(), due["sequence_id"].to_numpy()))
    if not (np.diff(order) == 1).all():
        due = due.iloc[order]
    return due.reset_index(drop=True)
