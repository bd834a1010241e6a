"""Sorts the due enrolments into candidates, ineligible ones with their reason, and exhausted ones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from sequence_pipelines.planning.engine.array_ops import are_among, key_order
from sequence_pipelines.planning.engine.snapshot import PlanningSnapshot
from sequence_pipelines.planning.engine.ways import find_overdue
from sequence_pipelines.planning.engine.windows import epoch_day
from sequence_store.domain.states import Deferral

# The gates of a contact, numbered as the query read_unmailable numbers them; 0 is open.
CONTACT_INACTIVE, SUPPRESSED, INVALID_ADDRESS, DELETED, OPT_OUT_UNVERIFIED, COMPANY_STOPPED = 1, 2, 3, 4, 5, 6
WEAKEST_FIRST = (INVALID_ADDRESS, OPT_OUT_UNVERIFIED, SUPPRESSED, CONTACT_INACTIVE, DELETED)
HOLD_COLUMNS = ("contact_id", "hold_from", "hold_until")
REASON_OF_GATE = {
    CONTACT_INACTIVE: Deferral.CONTACT_INACTIVE.value,
    SUPPRESSED: Deferral.SUPPRESSED.value,
    INVALID_ADDRESS: Deferral.INVALID_ADDRESS.value,
    OPT_OUT_UNVERIFIED: Deferral.OPT_OUT_UNVERIFIED.value,
}
# Why a mail waits for a later date, numbered as the query read_refused numbers it.
REFUSED_TODAY, LACKS_SMTPUTF8 = 1, 2
REASON_OF_REFUSAL = {
    REFUSED_TODAY: Deferral.REFUSED_TODAY.value,
    LACKS_SMTPUTF8: Deferral.RELAY_LACKS_SMTPUTF8.value,
}
# What the ledger may hold for a due step, numbered as the query read_written numbers it.
REUSABLE_ROW, MAILED, UNDER_WAY = 1, 2, 3
STRIDE = 2**31  # larger than any step number


class Eligibility(NamedTuple):
    """The due enrolments in three parts. Those of deleted sequences and contacts are in none of them."""

    candidates: pd.DataFrame  # may get a slot
    ineligible: pd.DataFrame  # may not; with `reason`
    exhausted: pd.DataFrame  # have no step left


class ClosedGates(NamedTuple):
    """What keeps contacts and enrolments from being mailed."""

    unmailable: pd.DataFrame  # contact_id, gate: the contacts that may not be mailed
    holds: pd.DataFrame  # contact_id, hold_from, hold_until: the contacts that are or were held
    refused: pd.DataFrame  # the mails that were refused for a date, as PlanRepository.refused returns them


def find_steps(enrolments: pd.DataFrame, steps: pd.DataFrame) -> pd.DataFrame:
    """Return the enrolments that PlanRepository.due read, with their due step, by sequence, step and contact.

    Columns: sequence_id, contact_id, pinned_mailbox_id (0: none), step_id and step_number (0: none is left),
    due_day (epoch day), round, follow_up, last_send (epoch day), last_offset (minutes).
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
        **{name: enrolments[name] for name in ("due_day", "round", "follow_up", "last_send", "last_offset")},
    }
    return pd.DataFrame(columns, copy=False)


def only_due(enrolments: pd.DataFrame, snapshot: PlanningSnapshot, holds: pd.DataFrame) -> pd.DataFrame:
    """Return the enrolments that are due in the snapshot's planning day.

    Columns, beside those of `enrolments`: overdue (days) and waits_since (epoch day), both without the dates
    on which the contact was held.
    """
    day = epoch_day(snapshot.day.day)
    overdue = find_overdue(enrolments, snapshot.mailboxes, snapshot.routes, snapshot.last_dates, day)
    is_due = overdue >= 0
    due = enrolments if is_due.all() else enrolments[is_due].reset_index(drop=True)
    overdue = overdue[is_due]
    held = held_days(due, holds, due["due_day"].to_numpy() + overdue)
    return due.assign(overdue=np.maximum(overdue - held, 0), waits_since=due["due_day"].to_numpy() + held)


def choose_candidates(
    due: pd.DataFrame,
    snapshot: PlanningSnapshot,
    gates: ClosedGates,
    *,
    under_way_excludes: bool = True,
) -> Eligibility:
    """Sort the due enrolments, in their order, into candidates, ineligible and exhausted ones.

    under_way_excludes   leave out the enrolments that have a row under way; they are in none of the three
                         parts
    """
    at = pd.Index(snapshot.sequences["sequence_id"]).get_indexer(pd.Index(due["sequence_id"]))
    gate = _gates(due["contact_id"].to_numpy(), gates.unmailable)
    keep = (at >= 0) & (gate != DELETED)
    if under_way_excludes:
        keep &= ~are_among(due, snapshot.rows[snapshot.rows["under_way"]], ["round"])
    has_step = due["step_id"].to_numpy() > 0
    reasons = {reason: gate == number for number, reason in REASON_OF_GATE.items()} | {
        Deferral.COMPANY_STOPPED.value: company_stopped(due, snapshot.sequences, gates.unmailable),
        Deferral.AWAY.value: _are_away(due, gates.holds, snapshot),
        Deferral.SEQUENCE_INACTIVE.value: ~np.r_[snapshot.sequences["is_active"].to_numpy(bool), True][at],
        Deferral.ONE_MAIL_A_DAY.value: np.isin(
            due["contact_id"], snapshot.rows["contact_id"][snapshot.rows["today"]]
        ),
    }
    closed = np.logical_or.reduce(list(reasons.values()))
    ineligible = np.flatnonzero(keep & has_step & closed)
    words = [np.full(len(ineligible), reason, dtype=object) for reason in reasons]
    reason = np.select([holds[ineligible] for holds in reasons.values()], words, default="")
    eligibility = Eligibility(
        due[keep & has_step & ~closed].reset_index(drop=True),
        due.iloc[ineligible].assign(reason=reason),
        due[keep & ~has_step].reset_index(drop=True),
    )
    return _defer_refused(eligibility, gates.refused, snapshot)


def _defer_refused(
    eligibility: Eligibility, refused: pd.DataFrame, snapshot: PlanningSnapshot
) -> Eligibility:
    """Make the candidates ineligible that were refused for a date and could get a slot of it or before it.

    refused   as PlanRepository.refused returns it

    A candidate may use the open intervals of its mailbox, or of all mailboxes of its sequence. It waits until
    all of them have a later send_day than its refused mail.
    """
    candidates = eligibility.candidates
    if refused.empty or candidates.empty:
        return eligibility
    key = ["sequence_id", "contact_id", "round"]
    latest = refused.sort_values("send_day").drop_duplicates(key, keep="last").set_index(key)
    found = latest.reindex(pd.MultiIndex.from_frame(candidates[key]))
    at = np.flatnonzero(found["send_day"].notna().to_numpy())
    earliest = _earliest_send_days(candidates.iloc[at], snapshot)
    waits = at[earliest <= found["send_day"].to_numpy()[at]]
    reasons = found["reason"].iloc[waits].map(REASON_OF_REFUSAL).to_numpy()
    keep = np.ones(len(candidates), dtype=bool)
    keep[waits] = False
    return eligibility._replace(
        candidates=candidates[keep].reset_index(drop=True),
        ineligible=pd.concat([eligibility.ineligible, candidates.iloc[waits].assign(reason=reasons)]),
    )


def _earliest_send_days(candidates: pd.DataFrame, snapshot: PlanningSnapshot) -> np.ndarray:
    """Return the first send_day that each candidate may use; infinity if no interval is open for it."""
    mailboxes = snapshot.open_intervals.groupby("mailbox_id")["send_day"].min()
    active = snapshot.mailboxes["mailbox_id"][snapshot.mailboxes["is_active"].to_numpy(bool)]
    of_routes = snapshot.routes.assign(send_day=snapshot.routes["mailbox_id"].map(mailboxes))
    sequences = of_routes.groupby("sequence_id")["send_day"].min()
    pinned = candidates["pinned_mailbox_id"]
    earliest = pinned.map(mailboxes).where(pinned.isin(active), candidates["sequence_id"].map(sequences))
    return earliest.fillna(np.inf).to_numpy(np.float64)


def company_stopped(
    enrolments: pd.DataFrame, sequences: pd.DataFrame, unmailable: pd.DataFrame
) -> np.ndarray:
    """Return which enrolments a reply from the contact's company closes: their sequence obeys replies."""
    stopped = np.isin(
        enrolments["contact_id"], unmailable["contact_id"][unmailable["gate"] == COMPANY_STOPPED]
    )
    if not stopped.any():
        return stopped
    obeying = sequences["sequence_id"][sequences["obeys_replies"].astype(bool)]
    return stopped & np.isin(enrolments["sequence_id"], obeying)


def are_held(contact_ids: pd.Series, holds: pd.DataFrame, send_day: pd.Series | np.ndarray) -> np.ndarray:
    """Return which contacts are held on a date, which is one for each contact."""
    if holds.empty:
        return np.zeros(len(contact_ids), dtype=bool)
    until = holds.set_index("contact_id")["hold_until"].reindex(contact_ids).to_numpy()
    return np.nan_to_num(until, nan=-1) >= np.asarray(send_day)


def held_days(due: pd.DataFrame, holds: pd.DataFrame, until: np.ndarray) -> np.ndarray:
    """Return on how many dates from due_day to `until` (epoch days) each contact was held."""
    if holds.empty or not np.isin(due["contact_id"], holds["contact_id"]).any():
        return np.zeros(len(due), dtype=np.int64)
    of_contact = holds.set_index("contact_id").reindex(due["contact_id"])
    first = np.maximum(of_contact["hold_from"].fillna(0).to_numpy(), due["due_day"].to_numpy())
    last = np.minimum(of_contact["hold_until"].fillna(-1).to_numpy(), until)
    return np.maximum(last - first + 1, 0).astype(np.int64)


def _are_away(due: pd.DataFrame, holds: pd.DataFrame, snapshot: PlanningSnapshot) -> np.ndarray:
    """Return whose contact is held on the first date that the enrolment may use in the planning day."""
    away = np.zeros(len(due), dtype=bool)
    if holds.empty:
        return away
    held = np.flatnonzero(np.isin(due["contact_id"], holds["contact_id"]))
    if len(held):
        some = due.iloc[held]
        earliest = _earliest_send_days(some, snapshot)
        earliest = np.where(np.isinf(earliest), epoch_day(snapshot.day.day), earliest)
        away[held] = are_held(some["contact_id"], holds, earliest)
    return away


def only_considered(
    eligibility: Eligibility, considered: pd.DataFrame | None, moved: pd.DataFrame
) -> Eligibility:
    """Make the candidates ineligible that became due after the run read its due contacts.

    considered   sequence_id, contact_id, step_id, round of the candidates that the run read; None: all
    moved        sequence_id, contact_id of the enrolments that this plan advanced or revoked; they stay
                 candidates
    """
    if considered is None:
        return eligibility
    candidates = eligibility.candidates
    known = are_among(candidates, considered, ["step_id", "round"])
    if known.all():
        return eligibility
    known |= are_among(candidates, moved, [])
    late = candidates[~known].assign(reason=Deferral.CAME_LATER.value)
    return eligibility._replace(
        candidates=candidates[known].reset_index(drop=True),
        ineligible=pd.concat([eligibility.ineligible, late]),
    )


def find_due_steps(
    steps: pd.DataFrame, sequence_id: np.ndarray, current_step: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return id, number and delay of the lowest live step at or above current_step; 0 if there is none.

    `sequence_id` and `current_step` come in runs of equal pairs: one look-up a run. The SQL function for the
    same rule is next_live_step; a property test holds both together.
    """
    sequence_ids = np.unique(steps["sequence_id"].to_numpy())
    owners = np.searchsorted(sequence_ids, steps["sequence_id"].to_numpy())
    positions = owners * STRIDE + steps["step_number"].to_numpy()
    changes = (sequence_id[1:] != sequence_id[:-1]) | (current_step[1:] != current_step[:-1])
    starts = np.flatnonzero(np.r_[len(sequence_id) > 0, changes])
    sequence, step = sequence_id[starts], current_step[starts]
    at = np.searchsorted(positions, np.searchsorted(sequence_ids, sequence) * STRIDE + step)
    due = np.r_[steps["sequence_id"].to_numpy(), -1][at] == sequence
    lengths = np.diff(np.r_[starts, len(sequence_id)])
    step_id, step_number, delay_days = (
        np.repeat(np.where(due, np.r_[steps[column].to_numpy(), 0][at], 0), lengths)
        for column in ("step_id", "step_number", "delay_days")
    )
    return step_id, step_number, delay_days


def in_due_order(candidates: pd.DataFrame) -> pd.DataFrame:
    """Return the rows by sequence, step and contact."""
    order = key_order(*(candidates[column] for column in ("sequence_id", "step_number", "contact_id")))
    return candidates.iloc[order].reset_index(drop=True)


def _gates(contact_ids: np.ndarray, unmailable: pd.DataFrame) -> np.ndarray:
    """Return each contact's gate; of several the strongest, which is written last."""
    gate = np.zeros(len(contact_ids), dtype=np.int64)
    for number in WEAKEST_FIRST:
        gate[np.isin(contact_ids, unmailable["contact_id"][unmailable["gate"] == number])] = number
    return gate
