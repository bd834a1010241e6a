"""Which planned places no longer hold. All others keep their second, so that a plan made again moves nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sequence_pipelines.planning.engine.capacity import row_of_day
from sequence_pipelines.planning.engine.eligibility import CONTACT_INACTIVE, DELETED, SUPPRESSED, are_among
from sequence_pipelines.planning.snapshot_reader import PlanningSnapshot

# The last word is the strongest reason's; an address that cannot be one is the worker's to refuse.
CLOSED_CONTACT = {SUPPRESSED: "suppressed", CONTACT_INACTIVE: "contact_inactive", DELETED: "contact_inactive"}


def find_revoked(
    snapshot: PlanningSnapshot, now: int, gates: pd.DataFrame, enrolments: pd.DataFrame
) -> np.ndarray:
    """Return, a row of picture.rows, why its place does not hold; empty where it does, or is not the planner's.

    now          epoch seconds
    gates        contact_id, gate: the contacts that get no mail
    enrolments   sequence_id, contact_id, round, status: of the planned rows, the removed ones missing
    """
    reasons = np.full(len(snapshot.rows), "", dtype=object)
    planned = np.flatnonzero(snapshot.rows["planned"])
    reasons[planned] = _closed(snapshot, snapshot.rows.iloc[planned], now, gates, enrolments)
    reasons[_over_limit(snapshot, reasons == "")] = "limit_lowered"
    return reasons


def _closed(
    snapshot: PlanningSnapshot, rows: pd.DataFrame, now: int, gates: pd.DataFrame, enrolments: pd.DataFrame
) -> np.ndarray:
    """Return the first gate that is closed, in the order in which the claim asks them."""
    enrolment = _enrolment_reasons(rows, enrolments)
    contact = _contact_reasons(rows, gates)
    parked = snapshot.mailboxes.set_index("mailbox_id")["parked_until"]
    closed: dict[str, np.ndarray] = {
        "step_deleted": ~np.isin(rows["step_id"], snapshot.steps["step_id"]),
        "sequence_inactive": ~np.isin(rows["sequence_id"], active(snapshot.sequences, "sequence_id")),
        "mailbox_inactive": ~np.isin(rows["mailbox_id"], active(snapshot.mailboxes, "mailbox_id")),
        "mailbox_parked": parked.reindex(rows["mailbox_id"]).to_numpy()
        > np.maximum(rows["send_at"].to_numpy(), now),
        "window_changed": ~inside_window(rows, snapshot.windows),
    }
    words = [np.full(len(rows), word, dtype=object) for word in closed]
    return np.select(
        [enrolment != "", contact != "", *closed.values()], [enrolment, contact, *words], default=""
    )


def _enrolment_reasons(rows: pd.DataFrame, enrolments: pd.DataFrame) -> np.ndarray:
    gone = ~are_among(rows, enrolments, ["round"])
    reasons = np.where(gone, "enrolment_removed", "").astype(object)
    for status in enrolments["status"].unique():
        if status != "active":
            reasons[are_among(rows, enrolments[enrolments["status"] == status], ["round"])] = (
                f"enrolment_{status}"
            )
    return reasons


def _contact_reasons(rows: pd.DataFrame, gates: pd.DataFrame) -> np.ndarray:
    reasons = np.full(len(rows), "", dtype=object)
    for gate, reason in CLOSED_CONTACT.items():
        reasons[rows["contact_id"].isin(gates["contact_id"][gates["gate"] == gate])] = reason
    return reasons


def active(frame: pd.DataFrame, key: str) -> pd.Series:
    """Return the ids of the sequences or mailboxes that are switched on."""
    return frame[key][frame["is_active"].astype(bool)]


def inside_window(rows: pd.DataFrame, windows: pd.DataFrame) -> np.ndarray:
    """Return which rows lie in the window of their mailbox and send_day, as it is now."""
    at = row_of_day(rows, windows)
    starts, ends = (np.r_[windows[c].to_numpy(np.int64), 0][at] for c in ("starts", "ends"))
    return (at >= 0) & (rows["send_at"].to_numpy() >= starts) & (rows["send_at"].to_numpy() < ends)


def _over_limit(snapshot: PlanningSnapshot, held: np.ndarray) -> np.ndarray:
    """Return the places beyond a limit that was lowered: the latest planned ones, which are the least urgent."""
    at = row_of_day(snapshot.rows, snapshot.windows)
    at = np.where(held, at, -1)
    used = np.bincount(at[at >= 0], minlength=len(snapshot.windows))
    over = used > snapshot.windows["allowed"].to_numpy(np.int64)
    crowded = np.flatnonzero((at >= 0) & np.r_[over, False][at])
    rows = snapshot.rows.iloc[crowded].assign(day=at[crowded])
    rows = rows.sort_values(["day", "planned", "send_at", "sequence_id", "contact_id"])
    beyond = rows.groupby("day").cumcount() >= snapshot.windows["allowed"].to_numpy(np.int64)[rows["day"]]
    revoked = np.zeros(len(snapshot.rows), dtype=bool)
    revoked[rows.index[beyond & rows["planned"]]] = True
    return revoked
