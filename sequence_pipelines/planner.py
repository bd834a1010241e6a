"""Makes a plan: one transaction under one lock, whichever day's run asks for it.

Everything that is due by the current planning day is planned into what is left of it, so the order and number
of runs change no row.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import psycopg

from sequence_pipelines.advancing import Applied, apply_sends, find_unapplied
from sequence_pipelines.candidates import GATES, are_among, read_candidates, skip_mailed
from sequence_pipelines.ledger import Ledger, dates, instants, seconds_of
from sequence_pipelines.planning import (
    capacity,
    new_left,
    open_pieces,
    plan_places,
    room_of,
    send_windows,
)
from sequence_pipelines.planning.allocation import stable_order
from sequence_pipelines.planning.capacity import daily_limits
from sequence_pipelines.planning.windows import epoch_day
from sequence_store.queries import query
from sequence_store.settings import PipelineSettings

CLOSED = (*GATES, "sequence_inactive", "one_mail_a_day")
QUARTER = 900  # seconds that SQS delays a message at most, and a dispatch looks ahead
KEY = ["sequence_id", "contact_id", "step_id", "round"]


@dataclass(frozen=True)
class Day:
    """The planning day that contains `now`, and the time that a plan made now may use."""

    day: date
    now: datetime
    begins: datetime
    ends: datetime
    opens: int  # epoch seconds: now and the lead
    closes: int

    @classmethod
    def at(cls, now: datetime, settings: PipelineSettings) -> Day:
        calendar = settings.calendar
        day = calendar.day_of(now)
        ends = calendar.end_of(day)
        opens = seconds_of(now + timedelta(seconds=settings.plan_lead_seconds))
        return cls(day, now, calendar.start_of(day), ends, opens, seconds_of(ends))


@dataclass
class Picture:
    """The day's mailboxes: their windows, what is used, what still fits."""

    mailboxes: pd.DataFrame
    windows: pd.DataFrame
    pieces: pd.DataFrame
    places: pd.DataFrame
    room: pd.DataFrame
    first_mails: pd.DataFrame
    sequences: pd.DataFrame
    routes: pd.DataFrame


@dataclass
class Plan:
    """What a plan did; `placed` and `waiting` are candidates with mailbox_id, send_at or reason."""

    day: Day
    placed: pd.DataFrame
    waiting: pd.DataFrame
    picture: Picture
    applied: Applied
    released: int = 0
    completed: int = 0
    seconds: dict[str, float] = field(default_factory=dict)


def read_picture(ledger: Ledger, day: Day, windows: pd.DataFrame, mailboxes: pd.DataFrame) -> Picture:
    """Read what is used and compute what still fits today."""
    widest_gap = int(mailboxes["min_gap_seconds"].max()) if len(mailboxes) else 0
    earliest = min([seconds_of(day.begins), *windows["starts"]]) - widest_gap
    since = instants(np.array([earliest]))[0]
    places = ledger.places(day.day, since)
    sequences = ledger.sequences()
    first = ledger.first_mails(
        day.day,
        since,
        sequences["sequence_id"][sequences["max_new_per_day"].notna()].tolist(),
        mailboxes["mailbox_id"][mailboxes["max_first_mails"].notna()].tolist(),
    )
    pieces = capacity(mailboxes, open_pieces(mailboxes, windows, day.opens, day.closes), places)
    room = room_of(mailboxes, pieces, first, day.opens)
    return Picture(mailboxes, windows, pieces, places, room, first, sequences, ledger.routes())


def day_windows(mailboxes: pd.DataFrame, day: Day) -> pd.DataFrame:
    """Return all windows that have a second in the planning day, with their day's limit as `allowed`."""
    windows = send_windows(mailboxes, seconds_of(day.begins), day.closes)
    allowed = daily_limits(mailboxes, windows["mailbox_id"].to_numpy(), windows["send_day"].to_numpy())
    return windows.assign(allowed=allowed)


def make_plan(
    connection: psycopg.Connection[Any],
    settings: PipelineSettings,
    now: datetime,
    considered: pd.DataFrame | None = None,
) -> Plan:
    """Plan everything due into what is left of the planning day of `now`; the caller commits.

    `considered` (columns sequence_id, contact_id, step_id, round) are the only candidates that may get a
    place, beside those whose place this plan releases; None considers all that is due.
    """
    ledger = Ledger(connection, settings.address_pads)
    seconds: dict[str, float] = {}
    ledger.execute("lock_planner")
    day = Day.at(now, settings)
    since = ledger.oldest_live(day.begins)
    with _timed(seconds, "apply finished sends"):
        keys = find_unapplied(connection, since=since, now=now, unknown_settles=settings.unknown_settles)
        applied = apply_sends(connection, keys, now=now, unknown_settles=settings.unknown_settles)
    with _timed(seconds, "release places"):
        mailboxes = ledger.mailboxes()
        windows = day_windows(mailboxes, day)
        released = _release(ledger, day, since, windows)
        picture = read_picture(ledger, day, windows, mailboxes)
        if len(lowered := _over_limit(picture)):
            released |= _keys(ledger.execute("cancel_over_limit", since=since, **_limits(lowered)))
            picture = read_picture(ledger, day, windows, mailboxes)
    with _timed(seconds, "read due contacts"):
        candidates, ended = read_candidates(ledger, day.day, since)
        candidates = _still_considered(candidates, considered, released)
    with _timed(seconds, "assign"), ThreadPoolExecutor(max_workers=1) as beside:
        looked_up = beside.submit(ledger.written, day.day)  # Postgres looks while we compute
        plan = assign(candidates, picture, day, settings.send_grace_seconds)
        candidates, written, mailed = skip_mailed(ledger, candidates, looked_up.result())
        if len(mailed):
            plan = assign(candidates, picture, day, settings.send_grace_seconds)
        placed, waiting = split(plan)
    with _timed(seconds, "write"):
        completed = ledger.complete(pd.concat([ended, mailed]))
        ledger.defer(waiting, day.day, since)
        ledger.enter(placed, are_among(placed, written, []))
        ledger.allow(windows)
    return Plan(day, placed, waiting, picture, applied, len(released), completed, seconds)


def assign(candidates: pd.DataFrame, picture: Picture, day: Day, grace_seconds: int) -> pd.DataFrame:
    """Return the candidates with mailbox_id, send_day, send_at, not_after, plan_day; mailbox_id 0: reason."""
    at = pd.Index(picture.sequences["sequence_id"]).get_indexer(pd.Index(candidates["sequence_id"]))
    candidates = candidates.assign(
        priority=picture.sequences["priority"].to_numpy()[at] if len(at) else 0,
        overdue=epoch_day(day.day) - candidates["due_day"],
    )
    gate = _gates(candidates, picture, at)
    shut = gate > 0
    planned = plan_places(
        candidates if not shut.any() else candidates[~shut].reset_index(drop=True),
        mailboxes=picture.mailboxes,
        routes=picture.routes,
        pieces=picture.pieces,
        places=picture.places,
        room=picture.room,
        new_left=new_left(picture.sequences, picture.first_mails),
    )
    plan = planned
    if shut.any():
        refused = candidates[shut].assign(mailbox_id=0, send_day=0, send_at=0, window_ends=0)
        refused["reason"] = pd.Categorical.from_codes(gate[shut], categories=list(CLOSED))
        plan = _joined(planned, refused)
    not_after = np.minimum(np.minimum(plan["window_ends"], day.closes), plan["send_at"] + grace_seconds)
    return plan.assign(not_after=not_after, plan_day=epoch_day(day.day))


def split(plan: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return who has a place, in the order of writing, and who waits.

    Written by the quarter of an hour that they are dispatched in, and within it by the ledger's key: the rows of a
    dispatch lie together, and the key's index is filled in its own order.
    """
    placed = np.flatnonzero(plan["mailbox_id"] > 0)
    quarter = plan["send_at"].to_numpy()[placed] // QUARTER
    order = stable_order(quarter - quarter.min(initial=np.iinfo(np.int64).max))
    return plan.iloc[placed[order]], plan[plan["mailbox_id"] == 0]


def _gates(candidates: pd.DataFrame, picture: Picture, sequence: np.ndarray) -> np.ndarray:
    """Return why a candidate may not even ask for a place, as an index of CLOSED; 0 where it may."""
    active = picture.sequences["is_active"].to_numpy(bool)
    mailed_today = picture.places["contact_id"].to_numpy()[picture.places["today"].to_numpy() == 1]
    return np.select(
        [
            candidates["gate"].to_numpy() > 0,
            ~active[sequence] if len(sequence) else np.zeros(0, dtype=bool),
            np.isin(candidates["contact_id"].to_numpy(), mailed_today),
        ],
        [candidates["gate"].to_numpy(), CLOSED.index("sequence_inactive"), CLOSED.index("one_mail_a_day")],
        default=0,
    )


def _joined(planned: pd.DataFrame, refused: pd.DataFrame) -> pd.DataFrame:
    reason = pd.api.types.union_categoricals([planned["reason"], refused["reason"]])
    return pd.concat([planned, refused], ignore_index=True).assign(reason=reason)


def _release(ledger: Ledger, day: Day, since: datetime, windows: pd.DataFrame) -> set[tuple[int, int]]:
    """Cancel the undispatched places that no longer hold; return their enrolments."""
    overdue = ledger.connection.execute(query("dispatch", "expire_overdue"), {"since": since, "now": day.now})
    released = _keys(overdue)
    released |= _keys(ledger.execute("cancel_closed", since=since, pads=ledger.pads))
    misplaced = ledger.execute(
        "cancel_misplaced",
        since=since,
        now=day.now,
        mailbox_ids=windows["mailbox_id"].tolist(),
        send_days=dates(windows["send_day"]),
        starts=instants(windows["starts"]),
        ends=instants(windows["ends"]),
    )
    return released | _keys(misplaced)


def _keys(cursor: psycopg.Cursor[Any]) -> set[tuple[int, int]]:
    return {(row[0], row[1]) for row in cursor}


def _over_limit(picture: Picture) -> pd.DataFrame:
    """Return the windows whose day has more places than its limit, as it is now, allows."""
    used = picture.places.groupby(["mailbox_id", "send_day"]).size().rename("used").reset_index()
    days = picture.windows.merge(used, on=["mailbox_id", "send_day"])
    return days[days["used"] > days["allowed"]]


def _limits(days: pd.DataFrame) -> dict[str, list[Any]]:
    return {
        "mailbox_ids": days["mailbox_id"].tolist(),
        "send_days": dates(days["send_day"]),
        "allowed": days["allowed"].tolist(),
    }


def _still_considered(
    candidates: pd.DataFrame, considered: pd.DataFrame | None, released: set[tuple[int, int]]
) -> pd.DataFrame:
    if considered is None:
        return candidates
    known = are_among(candidates, considered, ["step_id", "round"])
    if released:
        again = pd.DataFrame(list(released), columns=["sequence_id", "contact_id"])
        known |= are_among(candidates, again, [])
    return candidates if known.all() else candidates[known].reset_index(drop=True)


@contextmanager
def _timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds[phase] = seconds.get(phase, 0.0) + time.perf_counter() - began
