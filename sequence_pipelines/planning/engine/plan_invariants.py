"""Counts what a plan violates, from the rows before it and the rows that it adds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sequence_pipelines.planning.engine.array_ops import are_among
from sequence_pipelines.planning.engine.capacity import row_of_day
from sequence_pipelines.planning.engine.revocation import active, inside_window, too_early
from sequence_pipelines.planning.engine.send_dates import Clocks
from sequence_pipelines.planning.engine.snapshot import PlanningSnapshot
from sequence_pipelines.planning.engine.ways import find_ways
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
        "one_mail_a_day": _second_mails(rows[rows["today"]]) + _on_one_date(rows, placed, snapshot.mailboxes),
        "distances_kept": _too_near(placed, snapshot),
        "gaps_kept": _too_close(rows, snapshot.mailboxes, placed),
        "pins_kept": _pins_broken(placed, snapshot.mailboxes),
        "follow_ups_first": _overtaken(placed, waiting, snapshot),
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


def _overtaken(placed: pd.DataFrame, waiting: pd.DataFrame, snapshot: PlanningSnapshot) -> int:
    """Count the follow-ups that wait for a mailbox in which a less urgent first mail was placed.

    That is one of the same or a lower priority, in an interval that the follow-up may use. Contacts that wait
    in several sequences are left out: another of their mails may hold the place.
    """
    first = placed[~placed["follow_up"].astype(bool)]
    once = ~waiting["contact_id"].duplicated(keep=False)
    full = waiting[once & waiting["reason"].isin([Deferral.PINNED_MAILBOX_FULL, Deferral.LATER_TODAY])]
    intervals = snapshot.open_intervals
    if full.empty or first.empty or intervals.empty:
        return 0
    full = full.reset_index(drop=True)
    ways = find_ways(full, snapshot.mailboxes, snapshot.routes, intervals, snapshot.rows, snapshot.day.closes)
    earliest = ways.interval
    at = row_of_day(first, intervals)
    known = at >= 0
    lowest = pd.Series(first["priority"].to_numpy()[known]).groupby(at[known]).min()
    begun = pd.DataFrame({"interval": lowest.index, "priority_first": lowest.to_numpy()})
    begun["mailbox_id"] = intervals["mailbox_id"].to_numpy()[begun["interval"]]
    waits = pd.DataFrame({"row": full.index, "earliest": earliest, "priority": full["priority"].to_numpy()})
    waits["mailbox_id"] = full["pinned_mailbox_id"].to_numpy()
    pairs = waits[earliest >= 0].merge(begun, on="mailbox_id")
    wrong = (pairs["interval"] >= pairs["earliest"]) & (pairs["priority_first"] <= pairs["priority"])
    return int(pairs["row"][wrong].nunique())


def _on_one_date(rows: pd.DataFrame, placed: pd.DataFrame, mailboxes: pd.DataFrame) -> int:
    """Count the contacts that got a mail on a date that another of their mails has.

    The date of a mail is its send_day; of another mailbox's mail, the date of its second on this mailbox's
    clock.
    """
    mails = placed[["sequence_id", "contact_id", "step_id", "round", "mailbox_id", "send_day", "send_at"]]
    others = rows[rows["mailed"] & rows["contact_id"].isin(mails["contact_id"])]
    pairs = mails.merge(others, on="contact_id", suffixes=("", "_other"))
    key = ["sequence_id", "step_id", "round"]
    same = np.logical_and.reduce([pairs[c].to_numpy() == pairs[f"{c}_other"].to_numpy() for c in key])
    pairs = pairs[~same & (pairs["send_at_other"] < pairs["send_at"])]
    if pairs.empty:
        return 0
    at = pd.Index(mailboxes["mailbox_id"]).get_indexer(pd.Index(pairs["mailbox_id"]))
    on_clock = Clocks(mailboxes).dates(at, pairs["send_at_other"].to_numpy())
    own = pairs["mailbox_id"] == pairs["mailbox_id_other"]
    date = np.where(own, pairs["send_day_other"], on_clock)
    return int(pairs["contact_id"][date >= pairs["send_day"]].nunique())


def _too_near(placed: pd.DataFrame, snapshot: PlanningSnapshot) -> int:
    """Count the follow-ups that this plan placed before their next_send."""
    follow_ups = placed[placed["follow_up"].astype(bool)]
    return int(too_early(follow_ups, follow_ups, snapshot.windows).sum())
