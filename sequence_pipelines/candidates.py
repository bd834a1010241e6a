"""Who is due, with which step: the plan's candidates, and the enrolments that have no step left."""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
import pandas as pd

from sequence_pipelines.ledger import Ledger

GATES = ("", "contact_inactive", "suppressed", "invalid_address")
DELETED = 4
OPEN_ROW, MAILED = 1, 2  # what the ledger may have of a due step
STRIDE = 2**31  # more than a step's number can be


def read_candidates(ledger: Ledger, day: date, since: datetime) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the enrolments that are due by `day` with their due step, and those that have none left.

    Columns: sequence_id, contact_id, pinned_mailbox_id (0: none), step_id, step_number, due_day (epoch day), round,
    follow_up, gate (an index of GATES); ordered by sequence and contact. Enrolments of deleted sequences and contacts
    are left out. `since` is older than whatever can be under way.
    """
    due = _read_due(ledger, day)
    live = ledger.frame("read_sequences")["sequence_id"]
    keep = due["sequence_id"].isin(live).to_numpy() & ~are_among(due, ledger.under_way(since), ["round"])
    due["gate"] = _gates(due["contact_id"], ledger.unmailable())
    keep &= due["gate"].to_numpy() != DELETED
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
    moved = candidates[mailed].drop(columns=["step_id", "step_number"]).merge(found, on=["sequence_id", "contact_id"])
    left = moved["step_id"] > 0
    everybody = pd.concat([candidates[~mailed], moved[left].drop(columns="row_is")])
    rows = [written[written["row_is"] == OPEN_ROW], moved[moved["row_is"] == OPEN_ROW][list(written)]]
    return _ordered(everybody), pd.concat(rows), moved[~left]


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


def _read_due(ledger: Ledger, day: date) -> pd.DataFrame:
    sequence_id, current_step, contact_id, mailbox_id, packed = ledger.arrays("read_due", day=day)
    step_id, step_number = _due_steps(ledger.steps(), sequence_id, current_step)
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
        }
    )


def _due_steps(
    steps: pd.DataFrame, sequence_id: np.ndarray, current_step: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return id and number of the lowest live step at or above current_step; 0 where there is none."""
    sequence_ids = np.unique(steps["sequence_id"].to_numpy())
    places = np.searchsorted(sequence_ids, steps["sequence_id"].to_numpy()) * STRIDE + steps["step_number"].to_numpy()
    at = np.searchsorted(places, np.searchsorted(sequence_ids, sequence_id) * STRIDE + current_step)
    owner = np.r_[steps["sequence_id"].to_numpy(), -1][at]
    return tuple(np.where(owner == sequence_id, np.r_[steps[c].to_numpy(), 0][at], 0) for c in ("step_id", "step_number"))


def _gates(contact_ids: pd.Series, unmailable: pd.DataFrame) -> np.ndarray:
    gate = np.zeros(len(contact_ids), dtype=np.int64)
    for reason in (3, 2, 1, DELETED):  # the last word is the strongest reason's
        gate[np.isin(contact_ids, unmailable["contact_id"][unmailable["gate"] == reason])] = reason
    return gate


def _ordered(due: pd.DataFrame, which: np.ndarray | None = None) -> pd.DataFrame:
    order = np.lexsort((due["contact_id"], due["sequence_id"]))
    return due.iloc[order if which is None else order[which[order]]].reset_index(drop=True)
