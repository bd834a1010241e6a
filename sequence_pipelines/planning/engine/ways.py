"""Finds the intervals that each candidate may use: its ways. Rules on dates are in docs/planning.md.

A candidate that may use an interval of a mailbox may use every later one of it, so the earliest one tells
all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sequence_pipelines.planning.engine.send_dates import NEVER, NO_OFFSET, Clocks, midnights
from sequence_pipelines.planning.engine.windows import DAY_SECONDS

PINNED, MOVED, FIRST = 0, 1, 2  # a follow-up from its own mailbox; one without its mailbox; a first mail
ALWAYS = -(2**62)  # an instant before all others


@dataclass(frozen=True)
class Ways:
    """The ways of each candidate."""

    kind: np.ndarray  # PINNED, MOVED or FIRST
    interval: np.ndarray  # of a pinned candidate: its earliest interval, or -1
    moved_group: np.ndarray  # of a moved candidate, or -1
    route_group: np.ndarray  # the moved groups' routes: group and earliest interval
    route_interval: np.ndarray
    mailed: np.ndarray  # whether only the contact's last mail shuts its ways: it waits with one_mail_a_day
    comes_again: np.ndarray  # whether a date that it may use goes on in the next planning day

    @property
    def group_count(self) -> int:
        return int(self.moved_group.max(initial=-1)) + 1


def find_kinds(candidates: pd.DataFrame, mailboxes: pd.DataFrame) -> np.ndarray:
    """Return PINNED, MOVED or FIRST for each candidate: follow_up, pinned_mailbox_id (0: none)."""
    active = mailboxes["mailbox_id"][mailboxes["is_active"].to_numpy(bool)]
    pinned = np.isin(candidates["pinned_mailbox_id"].to_numpy(), active.to_numpy())
    follow_up = candidates["follow_up"].to_numpy(bool)
    return np.where(follow_up, np.where(pinned, PINNED, MOVED), FIRST)


def find_overdue(
    enrolments: pd.DataFrame, mailboxes: pd.DataFrame, routes: pd.DataFrame, last_dates: np.ndarray, day: int
) -> np.ndarray:
    """Return by how many days each enrolment is overdue; below 0 if it is not due in the planning day `day`.

    A pinned follow-up counts to the last date of its mailbox in the planning day, a moved one to the largest
    of its routes, a first mail to the planning day. `last_dates` are those of `mailboxes`.
    """
    until = np.full(len(enrolments), day, dtype=np.int64)
    kind = find_kinds(enrolments, mailboxes)
    by_mailbox = pd.Index(mailboxes["mailbox_id"])
    pinned = np.flatnonzero(kind == PINNED)
    if len(pinned):
        boxes = enrolments["pinned_mailbox_id"].to_numpy()[pinned]
        until[pinned] = last_dates[by_mailbox.get_indexer(pd.Index(boxes))]
    moved = np.flatnonzero(kind == MOVED)
    if len(moved):
        at = by_mailbox.get_indexer(pd.Index(routes["mailbox_id"]))
        dates = pd.Series(last_dates[at[at >= 0]]).groupby(routes["sequence_id"].to_numpy()[at >= 0]).max()
        theirs = dates.reindex(enrolments["sequence_id"].to_numpy()[moved])
        until[moved] = theirs.fillna(day).to_numpy(np.int64)
    return until - enrolments["due_day"].to_numpy()


def find_ways(
    candidates: pd.DataFrame,
    mailboxes: pd.DataFrame,
    routes: pd.DataFrame,
    intervals: pd.DataFrame,
    rows: pd.DataFrame,
    closes: int,
) -> Ways:
    """Return the ways of the candidates.

    candidates   sequence_id, contact_id, follow_up, pinned_mailbox_id, due_day, last_send (0: none),
                 last_offset
    intervals    the open intervals as count_capacity returns them, sorted by mailbox and time
    rows         the ledger's rows: contact_id, mailbox_id, send_day, send_at, mailed
    closes       epoch seconds: the planning day's end
    """
    return _Ways(candidates, mailboxes, routes, intervals, rows, closes).find()


class _Ways:
    def __init__(
        self,
        candidates: pd.DataFrame,
        mailboxes: pd.DataFrame,
        routes: pd.DataFrame,
        intervals: pd.DataFrame,
        rows: pd.DataFrame,
        closes: int,
    ) -> None:
        self.candidates = candidates
        self.by_mailbox = pd.Index(mailboxes["mailbox_id"])
        self.clocks = Clocks(mailboxes)
        self.kind = find_kinds(candidates, mailboxes)
        self.send_day = intervals["send_day"].to_numpy()
        self.starts = intervals["starts"].to_numpy()
        self.goes_on = intervals["ends"].to_numpy() > closes
        box = self.by_mailbox.get_indexer(pd.Index(intervals["mailbox_id"]))
        count = np.bincount(box, minlength=len(mailboxes)) if len(box) else np.zeros(len(mailboxes), np.int64)
        self.first = np.cumsum(count) - count  # of each mailbox
        self.after = self.first + count
        if len(box) and (np.diff(box) < 0).any():
            raise ValueError("intervals must be in the order of the mailboxes")
        self.routes = routes
        self.rows = self._rows_that_may_shut(rows)

    def find(self) -> Ways:
        count = len(self.candidates)
        interval, moved_group = np.full(count, -1), np.full(count, -1)
        mailed, again = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
        self._find_pinned(interval, mailed, again)
        route_group, route_interval = self._find_moved(moved_group, mailed, again)
        self._find_first(mailed)
        return Ways(self.kind, interval, moved_group, route_group, route_interval, mailed, again)

    # --- the contact's last mails -----------------------------------------------------------------

    def _rows_that_may_shut(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the mails of the candidates' contacts that can have the date of an interval on any clock."""
        if rows.empty or not len(self.send_day) or self.candidates.empty:
            return rows[:0]
        first = self.send_day.min()
        near = (rows["send_day"] >= first) | (rows["send_at"] >= (first - 1) * DAY_SECONDS)
        near &= rows["mailed"]
        some = rows[near.to_numpy(bool)]
        return some[some["contact_id"].isin(self.candidates["contact_id"])]

    def _last_date(self, candidate: np.ndarray, box: np.ndarray) -> np.ndarray:
        """Return the date of the contact's last mail on the clock of each mailbox, or NEVER."""
        latest = np.full(len(candidate), NEVER, dtype=np.int64)
        if self.rows.empty or not len(candidate):
            return latest
        contact = self.candidates["contact_id"].to_numpy()[candidate]
        ways = pd.DataFrame({"contact_id": contact, "way": np.arange(len(candidate)), "box": box})
        found = ways.merge(self.rows[["contact_id", "mailbox_id", "send_day", "send_at"]], on="contact_id")
        if found.empty:
            return latest
        at = found["box"].to_numpy()
        own = self.by_mailbox.to_numpy()[at] == found["mailbox_id"].to_numpy()
        dates = found["send_day"].to_numpy().copy()
        dates[~own] = self.clocks.dates(at[~own], found["send_at"].to_numpy()[~own])
        np.maximum.at(latest, found["way"].to_numpy(), dates)
        return latest

    # --- the earliest interval --------------------------------------------------------------------

    def _earliest(self, box: np.ndarray, day: np.ndarray, instant: np.ndarray) -> np.ndarray:
        """Return each mailbox's first interval with a date from `day` and a window from `instant` on."""
        at, after = self.first[box], self.after[box]
        while True:
            inside = at < after
            here = np.where(inside, at, 0)
            if not len(self.send_day):
                return np.full(len(box), -1)
            early = inside & ((self.send_day[here] < day) | (self.starts[here] < instant))
            if not early.any():
                return np.where(inside, at, -1)
            at = at + early

    def _not_before(self, members: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Return the midnights of next_send at these offsets."""
        due = self.candidates["due_day"].to_numpy()[members]
        return midnights(due, np.where(offsets == NO_OFFSET, 0, offsets))

    def _find_pinned(self, interval: np.ndarray, mailed: np.ndarray, again: np.ndarray) -> None:
        members = np.flatnonzero(self.kind == PINNED)
        if not len(members):
            return
        box = self.by_mailbox.get_indexer(pd.Index(self.candidates["pinned_mailbox_id"].to_numpy()[members]))
        due = self.candidates["due_day"].to_numpy()[members]
        instant = np.full(len(members), ALWAYS)
        changed = self._zone_changed(members, box)
        if changed.any():
            offsets = self.candidates["last_offset"].to_numpy()[members[changed]]
            instant[changed] = self._not_before(members[changed], offsets)
            due = np.where(changed, NEVER, due)
        last = self._last_date(members, box)
        found = self._earliest(box, np.maximum(due, last + 1), instant)
        interval[members] = found
        shut = (found < 0) & (last > NEVER)
        if shut.any():
            mailed[members[shut]] = self._earliest(box[shut], due[shut], instant[shut]) >= 0
        some = found >= 0
        again[members[some]] = self.goes_on[self.after[box[some]] - 1]

    def _zone_changed(self, members: np.ndarray, box: np.ndarray) -> np.ndarray:
        """Return whose mailbox had another offset on the last mail's date than its zone has now."""
        offset = self.candidates["last_offset"].to_numpy()[members]
        known = np.flatnonzero((offset != NO_OFFSET) & (self.candidates["last_send"].to_numpy()[members] > 0))
        changed = np.zeros(len(members), dtype=bool)
        if len(known):
            dates = self.candidates["last_send"].to_numpy()[members[known]]
            now = self.clocks.offsets(box[known], dates)
            changed[known] = (now != NO_OFFSET) & (now != offset[known])
        return changed

    def _find_moved(
        self, moved_group: np.ndarray, mailed: np.ndarray, again: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Set the group of each moved candidate, by sequence and ways; return the routes of each group."""
        none = np.zeros(0, dtype=np.int64)
        members = np.flatnonzero(self.kind == MOVED)
        if not len(members) or not len(self.send_day):
            return none, none
        offset = self.candidates["last_offset"].to_numpy()[members].copy()
        old = self.by_mailbox.get_indexer(pd.Index(self.candidates["pinned_mailbox_id"].to_numpy()[members]))
        guess = np.flatnonzero((offset == NO_OFFSET) & (old >= 0))
        dates = self.candidates["last_send"].to_numpy()[members]
        offset[guess] = self.clocks.offsets(old[guess], dates[guess])
        # Every window starts after the first of these, so earlier midnights are alike.
        instant = np.maximum(self._not_before(members, offset), self.starts.min())
        known = np.isin(self.candidates["contact_id"].to_numpy()[members], self.rows["contact_id"].to_numpy())
        keys = pd.DataFrame(
            {
                "sequence_id": self.candidates["sequence_id"].to_numpy()[members],
                "instant": instant,
                "own": np.where(known, members, -1),
            }
        )
        group = keys.groupby(list(keys), sort=False).ngroup().to_numpy()
        count = int(group.max()) + 1
        ways = keys.assign(group=group).drop_duplicates("group").merge(self.routes, on="sequence_id")
        box = self.by_mailbox.get_indexer(pd.Index(ways["mailbox_id"]))
        ways, box = ways[box >= 0], box[box >= 0]
        last = np.full(len(ways), NEVER, dtype=np.int64)
        own = np.flatnonzero(ways["own"] >= 0)
        last[own] = self._last_date(ways["own"].to_numpy()[own], box[own])
        found = self._earliest(box, last + 1, ways["instant"].to_numpy())
        without = self._earliest(box, np.full(len(box), NEVER), ways["instant"].to_numpy())
        number = ways["group"].to_numpy()
        has_way = np.zeros(count, dtype=bool)
        has_way[number[found >= 0]] = True
        goes_on, shut = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
        np.logical_or.at(goes_on, number[found >= 0], self.goes_on[self.after[box[found >= 0]] - 1])
        shut[number[without >= 0]] = True
        moved_group[members] = np.where(has_way[group], group, -1)
        again[members] = goes_on[group]
        mailed[members] = shut[group] & ~has_way[group]
        return number[found >= 0], found[found >= 0]

    def _find_first(self, mailed: np.ndarray) -> None:
        """Mark the first mails that may not use every open interval of their routes."""
        if self.rows.empty:
            return
        first = self.kind == FIRST
        known = first & self.candidates["contact_id"].isin(self.rows["contact_id"]).to_numpy()
        members = np.flatnonzero(known)
        ways = pd.DataFrame(
            {"candidate": members, "sequence_id": self.candidates["sequence_id"].to_numpy()[members]}
        ).merge(self.routes, on="sequence_id")
        box = self.by_mailbox.get_indexer(pd.Index(ways["mailbox_id"]))
        opened = (box >= 0) & (self.first[box] < self.after[box])
        candidate, box = ways["candidate"].to_numpy()[opened], box[opened]
        shut = self._last_date(candidate, box) >= self.send_day[self.first[box]]
        mailed[candidate[shut]] = True
