"""Plans the coming days on a copy, with the planner's own code; it writes no row.

A forecast knows the current enrolments. It assumes that no contact replies, bounces or is enrolled, and that
every planned mail is sent. So it is an upper bound of the work and a lower bound of the time until a backlog
is empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd

from sequence_pipelines.planning.engine.array_ops import are_among
from sequence_pipelines.planning.engine.assignment import assign, find_waiting
from sequence_pipelines.planning.engine.capacity import is_ramping
from sequence_pipelines.planning.engine.eligibility import (
    ClosedGates,
    choose_candidates,
    find_due_steps,
    find_steps,
    only_due,
)
from sequence_pipelines.planning.engine.ramp_up import raise_ramp_ups, with_ramp_ups
from sequence_pipelines.planning.engine.revocation import active, find_revoked
from sequence_pipelines.planning.engine.send_dates import NO_OFFSET, Clocks, next_date
from sequence_pipelines.planning.engine.snapshot import (
    PlanningSnapshot,
    day_windows,
    earliest_counted,
    first_send_day,
)
from sequence_pipelines.planning.engine.windows import epoch_day, seconds_of
from sequence_pipelines.planning.repository import PlanRepository
from sequence_pipelines.planning.scenario import WhatIf
from sequence_pipelines.planning.snapshot_reader import (
    Team,
    planning_day_at,
    read_refused,
    read_snapshot,
    read_team,
)
from sequence_store.domain.states import Deferral, EnrolmentStatus
from sequence_store.postgres.lookback import oldest_live
from sequence_store.settings import PipelineSettings

# Larger limits or bounds, or more mailboxes, would give these candidates a slot.
FOR_CAPACITY = [
    Deferral.NO_CAPACITY,
    Deferral.PINNED_MAILBOX_FULL,
    Deferral.LATER_TODAY,
    Deferral.MAX_FIRST_MAILS,
    Deferral.MAX_NEW_PER_DAY,
]
# These wait until a person changes something.
NOT_TO_BE_MAILED = [
    Deferral.SUPPRESSED,
    Deferral.CONTACT_INACTIVE,
    Deferral.INVALID_ADDRESS,
    Deferral.OPT_OUT_UNVERIFIED,
    Deferral.COMPANY_STOPPED,
    Deferral.SEQUENCE_INACTIVE,
]
NOT_IN_THESE_DAYS = "not in these days"  # a backlog that is not empty by the forecast's end
NO_FIRST_MAILS = pd.DataFrame(columns=["sequence_id", "mailbox_id", "first_mails"], dtype=np.int64)


@dataclass(frozen=True)
class ForecastDay:
    """One planning day as it would be planned; today is what is left of it."""

    day: date
    already_planned: int  # slots that today has already, mailed or not; 0 on all later days
    due: int  # without those already planned
    follow_ups: int  # planned
    first_mails: int  # planned
    capacity: int
    waiting: pd.Series  # contacts by reason
    mailboxes: pd.DataFrame  # mailbox_id, planned, waiting (its own follow-ups without a slot), capacity
    sequences: pd.DataFrame  # sequence_id, planned, waiting (its backlog)

    @property
    def planned(self) -> int:
        return self.follow_ups + self.first_mails

    @property
    def wait_for_capacity(self) -> int:
        """Contacts that wait because a limit or bound of this day is reached."""
        return self._waiting_for(FOR_CAPACITY)

    @property
    def not_to_be_mailed(self) -> int:
        return self._waiting_for(NOT_TO_BE_MAILED)

    @property
    def wait_otherwise(self) -> int:
        """Contacts that wait for their mailbox to open or be repaired, or for another sequence's mail."""
        return self.due - self.planned - self.wait_for_capacity - self.not_to_be_mailed

    def _waiting_for(self, reasons: list[Deferral]) -> int:
        return int(self.waiting[self.waiting.index.isin(reasons)].sum())

    @property
    def utilisation(self) -> float:
        """Planned mails divided by the day's capacity; 0 if there is no capacity."""
        return self.planned / self.capacity if self.capacity else 0.0


def forecast(
    repository: PlanRepository,
    settings: PipelineSettings,
    now: datetime,
    days: int,
    what_if: WhatIf | None = None,
) -> Iterator[ForecastDay]:
    """Plan `days` planning days; the first is what is left of today."""
    today = planning_day_at(now, settings)
    team = change_team(read_team(repository, today), what_if or WhatIf())
    snapshot = read_snapshot(
        repository, today, oldest_live(repository.connection, settings, today.begins), team
    )
    last = snapshot.day.day + timedelta(days=days + 1)  # a zone may be two dates ahead of the planning day
    refused = read_refused(repository, snapshot, last)
    gates = ClosedGates(repository.unmailable(today.now), repository.holds(), refused)
    enrolments = find_steps(repository.due(last), snapshot.steps)
    snapshot = _without_revoked(repository, snapshot, enrolments, gates)
    enrolments = _as_if_mailed(enrolments.assign(in_queue=False), snapshot)
    mail_days = _mail_days(repository.mail_days(), snapshot.rows[snapshot.rows["under_way"]], snapshot)
    for _ in range(days):
        soon = enrolments[enrolments["due_day"] <= epoch_day(snapshot.due_until)]
        due = only_due(soon.assign(at=soon.index), snapshot, gates.holds)
        eligibility = choose_candidates(due, snapshot, gates, under_way_excludes=False)
        assigned = assign(eligibility.candidates, snapshot, settings.send_grace_seconds)
        assigned["in_queue"] |= assigned["reason"].isin(FOR_CAPACITY)
        enrolments.loc[assigned["at"], "in_queue"] = assigned["in_queue"].to_numpy()
        placed = assigned[assigned["mailbox_id"] > 0]
        yield _as_forecast_day(assigned, eligibility.ineligible, snapshot)
        enrolments = _advance(enrolments, placed, snapshot)
        mail_days = _mail_days(mail_days, placed, snapshot)
        snapshot = _next_day(snapshot, placed, mail_days, settings)


def summarise_sequences(days: list[ForecastDay]) -> pd.DataFrame:
    """Return when each sequence's queue is empty: sequence_id, planned, most_waiting, queue_empty_on.

    A sequence's queue holds the contacts that wait for capacity, and those that did and were not mailed since
    (over a weekend, for example). queue_empty_on is the first day from which the queue stays empty until the
    forecast's end; None if there is none.
    """
    rows_by_day = pd.concat([d.sequences.assign(day=d.day) for d in days], ignore_index=True)
    rows = []
    for sequence_id, own in rows_by_day.groupby("sequence_id"):
        waits = own["day"][own["waiting"] > 0]
        empty = days[0].day if waits.empty else waits.max() + timedelta(days=1)
        rows.append(
            {
                "sequence_id": int(str(sequence_id)),
                "planned": int(own["planned"].sum()),
                "most_waiting": int(own["waiting"].max()),
                "queue_empty_on": empty if empty <= days[-1].day else None,
            }
        )
    return pd.DataFrame(rows, columns=["sequence_id", "planned", "most_waiting", "queue_empty_on"])


def summarise_mailboxes(days: list[ForecastDay]) -> pd.DataFrame:
    """Return each mailbox's utilisation over all days, the highest first.

    Columns: mailbox_id, planned, most_waiting (its own follow-ups on one day), capacity, utilisation.
    """
    total = (
        pd.concat([day.mailboxes for day in days])
        .groupby("mailbox_id", as_index=False)
        .agg(planned=("planned", "sum"), most_waiting=("waiting", "max"), capacity=("capacity", "sum"))
    )
    total["utilisation"] = (total["planned"] / total["capacity"].clip(lower=1)).round(4)
    return total.sort_values(
        ["utilisation", "most_waiting", "mailbox_id"], ascending=[False, False, True], ignore_index=True
    )


def change_team(team: Team, what_if: WhatIf) -> Team:
    """Return the team with changed mailboxes; added ones get ids above all others."""
    mailboxes, routes = team.mailboxes, team.routes
    if what_if.limit is not None and not what_if.add_mailboxes:
        mailboxes = mailboxes.assign(send_limit=what_if.limit)
    if what_if.add_mailboxes and len(mailboxes):
        hours = ["start_seconds", "end_seconds", "time_zone"]
        alike = mailboxes.groupby(hours)["mailbox_id"].transform("size").to_numpy()
        ids = mailboxes["mailbox_id"].max() + 1 + np.arange(what_if.add_mailboxes)
        added = mailboxes.iloc[[int(alike.argmax())] * len(ids)].assign(
            mailbox_id=ids, is_active=True, parked_until=0, ramp_up_start=np.nan, ramp_up_started=np.nan
        )
        if what_if.limit is not None:
            added["send_limit"] = what_if.limit
        mailboxes = pd.concat([mailboxes, added], ignore_index=True)
        theirs = active(team.sequences, "sequence_id")
        both = pd.MultiIndex.from_product([theirs, ids], names=["sequence_id", "mailbox_id"]).to_frame(
            index=False
        )
        routes = pd.concat([routes, both], ignore_index=True)
    if what_if.max_first_mails is not None:
        mailboxes = mailboxes.assign(max_first_mails=float(what_if.max_first_mails))
    return team._replace(mailboxes=mailboxes, routes=routes)


def _without_revoked(
    repository: PlanRepository,
    snapshot: PlanningSnapshot,
    enrolments: pd.DataFrame,
    gates: ClosedGates,
) -> PlanningSnapshot:
    """Return the snapshot without the rows that a plan made now would revoke."""
    planned = snapshot.rows[snapshot.rows["planned"]]
    if planned.empty:
        return snapshot
    gone = repository.enrolments(planned[~are_among(planned, enrolments, ["round"])])
    known = pd.concat([enrolments.assign(status=EnrolmentStatus.ACTIVE.value)[list(gone)], gone])
    reasons = find_revoked(snapshot, seconds_of(snapshot.day.now), gates, known)
    revoked = snapshot.rows[reasons != ""]
    began = revoked[are_among(revoked, known[~known["follow_up"].astype(bool)], ["round"])]
    key = ["sequence_id", "mailbox_id"]
    counted = snapshot.first_mails.set_index(key)["first_mails"]
    fewer = began.groupby(key).size().reindex(counted.index, fill_value=0)
    return replace(
        snapshot,
        rows=snapshot.rows[reasons == ""].reset_index(drop=True),
        first_mails=counted.sub(fewer).rename("first_mails").reset_index(),
    )


def _as_if_mailed(enrolments: pd.DataFrame, snapshot: PlanningSnapshot) -> pd.DataFrame:
    """Advance the enrolments that have a row under way, as if its mail is sent at its second."""
    rows = snapshot.rows[snapshot.rows["under_way"]]
    mailed = enrolments[are_among(enrolments, rows, ["round"])].drop(columns="pinned_mailbox_id")
    columns = ["sequence_id", "contact_id", "mailbox_id", "send_day"]
    boxes = rows.drop_duplicates(["sequence_id", "contact_id"])[columns]
    return _advance(enrolments, mailed.merge(boxes, on=["sequence_id", "contact_id"]), snapshot)


def _advance(enrolments: pd.DataFrame, mailed: pd.DataFrame, snapshot: PlanningSnapshot) -> pd.DataFrame:
    """Return the enrolments after these were mailed (mailbox_id, send_day), without completed ones."""
    sequence_id, above = mailed["sequence_id"].to_numpy(), mailed["step_number"].to_numpy() + 1
    step_id, step_number, delay = find_due_steps(snapshot.steps, sequence_id, above)
    at = pd.Index(snapshot.mailboxes["mailbox_id"]).get_indexer(pd.Index(mailed["mailbox_id"]))
    offset = np.full(len(mailed), NO_OFFSET)  # a deleted mailbox has no zone any more
    offset[at >= 0] = Clocks(snapshot.mailboxes).offsets(at[at >= 0], mailed["send_day"].to_numpy()[at >= 0])
    advanced = mailed.assign(
        pinned_mailbox_id=mailed["mailbox_id"],
        step_id=step_id,
        step_number=step_number,
        due_day=next_date(mailed["send_day"].to_numpy(), delay),
        last_send=mailed["send_day"],
        last_offset=offset,
        follow_up=True,
        in_queue=False,
    )
    rest = enrolments[~are_among(enrolments, mailed, [])]
    return pd.concat([rest, advanced[step_id > 0][list(enrolments)]], ignore_index=True)


def _mail_days(before: pd.DataFrame, mails: pd.DataFrame, snapshot: PlanningSnapshot) -> pd.DataFrame:
    """Return the dates with a mail of mailboxes that ramp up, these mails included."""
    ramping = snapshot.mailboxes["mailbox_id"][is_ramping(snapshot.mailboxes)]
    if ramping.empty:
        return before
    key = ["mailbox_id", "send_day"]
    some = mails[mails["mailbox_id"].isin(ramping)].groupby(key, as_index=False).size()
    added = some.rename(columns={"size": "used"}).merge(snapshot.windows[[*key, "allowed"]], on=key)
    both = pd.concat([before, added])
    return both.groupby(key, as_index=False).agg(allowed=("allowed", "max"), used=("used", "sum"))


def _next_day(
    snapshot: PlanningSnapshot, placed: pd.DataFrame, mail_days: pd.DataFrame, settings: PipelineSettings
) -> PlanningSnapshot:
    """Return the next planning day's snapshot; earlier mails count if their send_day spans both days."""
    day = planning_day_at(snapshot.day.ends, settings)
    raised = raise_ramp_ups(snapshot.mailboxes, mail_days, seconds_of(day.now))
    mailboxes = with_ramp_ups(snapshot.mailboxes, raised)
    flags = {"planned": False, "under_way": False, "today": False}
    added = placed.assign(mailed=True, **flags)
    rows = pd.concat([snapshot.rows.assign(**flags), added], ignore_index=True)[list(snapshot.rows)]
    written = snapshot.windows[["mailbox_id", "send_day", "allowed", "grid_from"]]
    windows = day_windows(mailboxes, day, written)
    earliest = earliest_counted(mailboxes, windows, day)
    counts = (rows["send_at"] >= earliest.timestamp()) | (rows["send_day"] >= first_send_day(windows, day))
    return replace(
        snapshot,
        day=day,
        since=earliest,
        earliest=earliest,
        mailboxes=mailboxes,
        windows=windows,
        rows=rows[counts].reset_index(drop=True),
        first_mails=NO_FIRST_MAILS,
    )


def _as_forecast_day(
    assigned: pd.DataFrame, ineligible: pd.DataFrame, snapshot: PlanningSnapshot
) -> ForecastDay:
    has_slot = assigned["mailbox_id"] > 0
    placed = assigned[has_slot]
    mailbox_capacity = snapshot.mailbox_capacity[["mailbox_id", "capacity"]]
    waits = assigned[~has_slot]
    planned, held = (
        some.groupby(column).size().reindex(mailbox_capacity["mailbox_id"], fill_value=0).to_numpy()
        for some, column in ((placed, "mailbox_id"), (waits, "pinned_mailbox_id"))
    )
    is_active = snapshot.mailboxes["is_active"].to_numpy(bool)  # another one's follow-ups may go to any
    sequences = pd.DataFrame(
        {
            "sequence_id": assigned["sequence_id"],
            "planned": has_slot,
            "waiting": ~has_slot & assigned["in_queue"],
        }
    )
    return ForecastDay(
        day=snapshot.day.day,
        already_planned=int(snapshot.rows["today"].sum()),
        due=len(assigned) + len(ineligible),
        follow_ups=int(placed["follow_up"].sum()),
        first_mails=int((~placed["follow_up"].astype(bool)).sum()),
        capacity=int(mailbox_capacity["capacity"].sum()),
        waiting=find_waiting(assigned, ineligible)["reason"].value_counts(),
        mailboxes=mailbox_capacity.assign(planned=planned, waiting=np.where(is_active, held, 0)),
        sequences=sequences.groupby("sequence_id", as_index=False).sum().astype(np.int64),
    )
