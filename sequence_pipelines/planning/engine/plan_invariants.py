"""Counts what a plan violates, from the rows before it and the rows that it adds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sequence_pipelines.planning.engine.array_ops import are_among
from sequence_pipelines.planning.engine.capacity import row_of_day
from sequence_pipelines.planning.engine.revocation import active, inside_window
from sequence_pipelines.planning.engine.snapshot import PlanningSnapshot
from sequence_store.domain.states import Deferral


def find_violations(
    rows: pd.DataFrame, snapshot: PlanningSnapshot, placed: pd.DataFrame, waiting: pd.DataFrame
) -> dict[str, int]:
    """Return the number of violations by invariant.

    rows      the ledger as the plan leaves it, with the columns of PlanRepository.rows
    placed    the candidates that got a slot
    waiting   the due enrolments that got none, with `reason`

    A violation that was there before the plan, and that no plan can correct, does not count.
    """
    return {
        "within_limits": _over_limit(rows, snapshot.windows),
        "inside_windows": int((~inside_window(rows[rows["planned"]], snapshot.windows)).sum()),
        "one_mail_a_day": _second_mails(rows[rows["today"]]),
        "gaps_kept": _too_close(rows, snapshot.mailboxes, placed),
        "pins_kept": _pins_broken(placed, snapshot.mailboxes),
        "follow_ups_first": _overtaken(placed, waiting),
    }


def _over_limit(rows: pd.DataFrame, windows: pd.DataFrame) -> int:
    """Count the mailboxes' days with more mails than their limit of which at least one is planned."""
    at = row_of_day(rows, windows)
    used = np.bincount(at[at >= 0], minlength=len(windows))
    planned = np.bincount(at[(at >= 0) & rows["planned"].to_numpy()], minlength=len(windows))
    return int(((used > windows["allowed"].to_numpy(np.int64)) & (planned > 0)).sum())


def _second_mails(today: pd.DataFrame) -> int:
    """Count the contacts with two mails in the planning day of which at least one is planned."""
    twice = today["contact_id"].duplicated(keep=False)
    return int(today["contact_id"][twice][today["planned"][twice]].nunique())


def _too_close(rows: pd.DataFrame, mailboxes: pd.DataFrame, placed: pd.DataFrame) -> int:
    """Count the pairs of mails closer than their mailbox's gap of which this plan placed at least one.

    A retried mail is not on the gap's grid, and a raised gap revokes no row: the gate before DATA keeps these
    apart.
    """
    gaps = mailboxes.set_index("mailbox_id")["min_gap_seconds"]
    near = rows[rows["mailbox_id"].isin(gaps.index[gaps > 0])].sort_values(["mailbox_id", "send_at"])
    close = (near.groupby("mailbox_id")["send_at"].diff() < near["mailbox_id"].map(gaps)).to_numpy()
    second, first = near[close], near[np.r_[close, False][1:]]
    ours = [are_among(mails, placed, ["step_id", "round"]) for mails in (first, second)]
    return int((ours[0] | ours[1]).sum())


def _pins_broken(placed: pd.DataFrame, mailboxes: pd.DataFrame) -> int:
    """Count the follow-ups in another mailbox although their own is active."""
    moved = placed["pinned_mailbox_id"] != placed["mailbox_id"]
    return int((moved & placed["pinned_mailbox_id"].isin(active(mailboxes, "mailbox_id"))).sum())


def _overtaken(placed: pd.DataFrame, waiting: pd.DataFrame) -> int:
    """Count the follow-ups that wait for a full mailbox in which this plan placed a first mail.

    Contacts that wait in several sequences are left out: their second candidate came in a later pass, when
    the first pass had used the mailbox up.
    """
    first = placed[~placed["follow_up"].astype(bool)]
    once = ~waiting["contact_id"].duplicated(keep=False)
    full = waiting[once & (waiting["reason"] == Deferral.PINNED_MAILBOX_FULL)]
    return int(full["pinned_mailbox_id"].isin(first["mailbox_id"]).sum())
