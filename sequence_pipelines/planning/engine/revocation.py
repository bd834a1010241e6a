"""Finds the planned rows whose slot is no longer valid; all others stay, so a repeated plan changes none."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sequence_pipelines.planning.engine.array_ops import are_among
from sequence_pipelines.planning.engine.capacity import row_of_day
from sequence_pipelines.planning.engine.eligibility import (
    CONTACT_INACTIVE,
    DELETED,
    OPT_OUT_UNVERIFIED,
    SUPPRESSED,
    are_held,
    company_stopped,
)
from sequence_pipelines.planning.engine.snapshot import PlanningSnapshot
from sequence_store.domain.states import ClosedGate, EnrolmentStatus, SendReason

# Weakest first: a later entry overwrites an earlier one. The worker, not the plan, cancels invalid addresses.
REASON_OF_CLOSED_GATE = {
    OPT_OUT_UNVERIFIED: ClosedGate.OPT_OUT_UNVERIFIED.value,
    SUPPRESSED: ClosedGate.SUPPRESSED.value,
    CONTACT_INACTIVE: ClosedGate.CONTACT_INACTIVE.value,
    DELETED: ClosedGate.CONTACT_INACTIVE.value,
}


def find_revoked(
    snapshot: PlanningSnapshot,
    now: int,
    unmailable: pd.DataFrame,
    enrolments: pd.DataFrame,
    holds: pd.DataFrame | None = None,
) -> np.ndarray:
    """Return for each row of snapshot.rows why its slot is revoked; "" if it stays or is not planned.

    now          epoch seconds
    unmailable   contact_id, gate: the contacts that may not be mailed
    enrolments   sequence_id, contact_id, round, status of the planned rows; removed enrolments are missing
    holds        contact_id, hold_from, hold_until: the contacts that are or were held
    """
    reasons = np.full(len(snapshot.rows), "", dtype=object)
    planned = np.flatnonzero(snapshot.rows["planned"])
    reasons[planned] = _closed(snapshot, snapshot.rows.iloc[planned], now, unmailable, enrolments, holds)
    reasons[_over_limit(snapshot, reasons == "")] = SendReason.LIMIT_LOWERED.value
    return reasons


def _closed(
    snapshot: PlanningSnapshot,
    rows: pd.DataFrame,
    now: int,
    unmailable: pd.DataFrame,
    enrolments: pd.DataFrame,
    holds: pd.DataFrame | None,
) -> np.ndarray:
    """Return the first closed gate of each row, in the order in which the claim checks them."""
    enrolment = _enrolment_reasons(rows, enrolments)
    contact = _contact_reasons(rows, unmailable)
    parked = snapshot.mailboxes.set_index("mailbox_id")["parked_until"]
    closed: dict[str, np.ndarray] = {
        ClosedGate.COMPANY_STOPPED.value: company_stopped(rows, snapshot.sequences, unmailable),
        ClosedGate.AWAY.value: are_held(rows["contact_id"], holds, rows["send_day"]),
        ClosedGate.STEP_DELETED.value: ~np.isin(rows["step_id"], snapshot.steps["step_id"]),
        ClosedGate.SEQUENCE_INACTIVE.value: ~np.isin(
            rows["sequence_id"], active(snapshot.sequences, "sequence_id")
        ),
        ClosedGate.MAILBOX_INACTIVE.value: ~np.isin(
            rows["mailbox_id"], active(snapshot.mailboxes, "mailbox_id")
        ),
        ClosedGate.MAILBOX_PARKED.value: parked.reindex(rows["mailbox_id"]).to_numpy()
        > np.maximum(rows["send_at"].to_numpy(), now),
        SendReason.WINDOW_CHANGED.value: ~inside_window(rows, snapshot.windows),
    }
    words = [np.full(len(rows), word, dtype=object) for word in closed]
    return np.select(
        [enrolment != "", contact != "", *closed.values()], [enrolment, contact, *words], default=""
    )


def _enrolment_reasons(rows: pd.DataFrame, enrolments: pd.DataFrame) -> np.ndarray:
    gone = ~are_among(rows, enrolments, ["round"])
    reasons = np.where(gone, ClosedGate.ENROLMENT_REMOVED.value, "").astype(object)
    for status in enrolments["status"].unique():
        if status != EnrolmentStatus.ACTIVE:
            closed = are_among(rows, enrolments[enrolments["status"] == status], ["round"])
            reasons[closed] = ClosedGate.of_enrolment(status).value
    return reasons


def _contact_reasons(rows: pd.DataFrame, unmailable: pd.DataFrame) -> np.ndarray:
    reasons = np.full(len(rows), "", dtype=object)
    for gate, reason in REASON_OF_CLOSED_GATE.items():
        reasons[rows["contact_id"].isin(unmailable["contact_id"][unmailable["gate"] == gate])] = reason
    return reasons


def active(frame: pd.DataFrame, key: str) -> pd.Series:
    """Return the ids of the active sequences or mailboxes."""
    return frame[key][frame["is_active"].astype(bool)]


def inside_window(rows: pd.DataFrame, windows: pd.DataFrame) -> np.ndarray:
    """Return which rows lie in the current window of their mailbox and send_day."""
    at = row_of_day(rows, windows)
    starts, ends = (np.r_[windows[c].to_numpy(np.int64), 0][at] for c in ("starts", "ends"))
    return (at >= 0) & (rows["send_at"].to_numpy() >= starts) & (rows["send_at"].to_numpy() < ends)


def _over_limit(snapshot: PlanningSnapshot, valid: np.ndarray) -> np.ndarray:
    """Return the rows beyond a lowered limit: the planned ones with the latest times (the least urgent)."""
    at = row_of_day(snapshot.rows, snapshot.windows)
    at = np.where(valid, at, -1)
    used = np.bincount(at[at >= 0], minlength=len(snapshot.windows))
    over = used > snapshot.windows["allowed"].to_numpy(np.int64)
    crowded = np.flatnonzero((at >= 0) & np.r_[over, False][at])
    rows = snapshot.rows.iloc[crowded].assign(day=at[crowded])
    rows = rows.sort_values(["day", "planned", "send_at", "sequence_id", "contact_id"])
    beyond = rows.groupby("day").cumcount() >= snapshot.windows["allowed"].to_numpy(np.int64)[rows["day"]]
    revoked = np.zeros(len(snapshot.rows), dtype=bool)
    revoked[rows.index[beyond & rows["planned"]]] = True
    return revoked
