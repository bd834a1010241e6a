"""Proves the latest plan again, from the tables: no plan serves more contacts of a class and those before it.

For each class in which somebody waits the plan stored its cut: full intervals and bounds (engine/proof.py).
Here both terms of its bound are computed anew: what the cut's places could take before the plan, and the
contacts that have a way around them. The planner's own numbers are not read.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import psycopg

from sequence_pipelines.planning.engine.array_ops import are_among
from sequence_pipelines.planning.engine.capacity import first_mails_left
from sequence_pipelines.planning.engine.eligibility import choose_candidates
from sequence_pipelines.planning.engine.proof import MOST_OVERDUE, Cut, FullPlaces, accumulate
from sequence_pipelines.planning.engine.snapshot import PlanningSnapshot
from sequence_pipelines.planning.engine.ways import FIRST, MOVED, PINNED, Ways, find_ways
from sequence_pipelines.planning.engine.windows import epoch_day
from sequence_pipelines.planning.repository import PlanRepository
from sequence_pipelines.planning.snapshot_reader import planning_day_at, read_due
from sequence_store.domain.states import Deferral
from sequence_store.postgres.lookback import oldest_live
from sequence_store.settings import PipelineSettings

MOST_PROVEN = 200  # classes; of more, evenly spaced ones are proven
FOR_A_PLACE = [
    Deferral.NO_CAPACITY,
    Deferral.PINNED_MAILBOX_FULL,
    Deferral.LATER_TODAY,
    Deferral.MAX_FIRST_MAILS,
    Deferral.MAX_NEW_PER_DAY,
]


@dataclass(frozen=True)
class ProvenClass:
    """A class and those before it: how many the plan serves, and the most that any plan can serve."""

    number: int
    served: int
    bound: int
    lost: int = 0  # places in the cut that were given up since

    @property
    def is_largest(self) -> bool:
        return self.served + self.lost >= self.bound


@dataclass(frozen=True)
class Proof:
    """The classes in which somebody waits; has_cuts is false if somebody waits, but no cut is stored."""

    classes: list[ProvenClass]
    has_cuts: bool = True
    changed_since: int = 0  # mailboxes, sequences and routes; they may make the bound larger than the plan

    @property
    def holds(self) -> bool:
        """Whether nothing speaks against the plan."""
        return self.has_cuts and (self.changed_since > 0 or all(one.is_largest for one in self.classes))


def prove_latest_plan(connection: psycopg.Connection[Any], settings: PipelineSettings) -> Proof:
    """Compute the bound of each class of the latest plan from the tables.

    Rows that were dispatched since the plan count as promised before it, and places that were given up since
    as served.
    """
    repository = PlanRepository(connection, settings.address_pads)
    cuts = repository.frame("read_cuts")
    if cuts.empty:
        row = repository.execute("count_waiting_for_places", reasons=FOR_A_PLACE).fetchone()
        return Proof([], has_cuts=not (row and row[0]))
    day = planning_day_at(cuts["made_at"].iloc[0].to_pydatetime(), settings)
    since = oldest_live(connection, settings, day.begins)
    written_by = int(cuts["written_by"].iloc[0])
    written = repository.frame("read_rows_written_by", since=since, written_by=written_by)
    lost = repository.frame("read_rows_lost_since", since=since, day=day.day, written_by=written_by)
    with ThreadPoolExecutor(max_workers=2) as executor:
        snapshot, due, gates = read_due(repository, day, since, executor)
    before = _without(snapshot, written, due)
    candidates = choose_candidates(due, before, gates).candidates
    deferred = repository.frame("read_deferred", day=day.day)
    known = are_among(candidates, deferred, []) | are_among(candidates, written, ["round"])
    made = {"made_at": day.now, "written_by": written_by}
    (changed,) = repository.execute("count_changed_since", **made).fetchone() or (0,)
    proof = _Proof(candidates[known].reset_index(drop=True), before, written, lost)
    return Proof(proof.prove(cuts), changed_since=changed)


def _without(snapshot: PlanningSnapshot, written: pd.DataFrame, due: pd.DataFrame) -> PlanningSnapshot:
    """Return the snapshot without these rows and their first mails."""
    ours = are_among(snapshot.rows, written, ["step_id", "round"])
    rows = snapshot.rows[ours]
    first = rows[are_among(rows, due[~due["follow_up"].astype(bool)], ["round"])]
    key = ["sequence_id", "mailbox_id"]
    counted = snapshot.first_mails.set_index(key)["first_mails"]
    fewer = first.groupby(key).size().reindex(counted.index, fill_value=0)
    return replace(
        snapshot,
        rows=snapshot.rows[~ours].reset_index(drop=True),
        first_mails=counted.sub(fewer).rename("first_mails").reset_index(),
    )


class _Proof:
    def __init__(
        self,
        candidates: pd.DataFrame,
        snapshot: PlanningSnapshot,
        written: pd.DataFrame,
        lost: pd.DataFrame,
    ) -> None:
        self.candidates, self.snapshot, self.lost = candidates, snapshot, lost
        at = pd.Index(snapshot.sequences["sequence_id"]).get_indexer(pd.Index(candidates["sequence_id"]))
        self.priority = snapshot.sequences["priority"].to_numpy()[at]
        self.follow_up = candidates["follow_up"].to_numpy(bool)
        self.overdue = np.clip(candidates["overdue"].to_numpy(), 0, MOST_OVERDUE)
        self.contact, self.contacts = pd.factorize(candidates["contact_id"])
        placed = are_among(candidates, written, ["round"])
        self.is_served = np.zeros(len(self.contacts), dtype=bool)
        self.is_served[self.contact[placed]] = True
        self.intervals = snapshot.open_intervals
        self.ways = find_ways(
            candidates,
            snapshot.mailboxes,
            snapshot.routes,
            self.intervals,
            snapshot.rows,
            snapshot.day.closes,
        )
        left = first_mails_left(snapshot.sequences, snapshot.first_mails)
        self.new_left = left.set_index("sequence_id")["new_left"]

    def prove(self, cuts: pd.DataFrame) -> list[ProvenClass]:
        stored = [_cut(dict(zip(map(str, cuts), row, strict=True))) for row in cuts.itertuples(index=False)]
        chosen = set(np.linspace(0, len(stored) - 1, min(len(stored), MOST_PROVEN)).astype(int).tolist())
        return [self._prove(cut, places) for n, (cut, places) in enumerate(accumulate(stored)) if n in chosen]

    def _prove(self, cut: Cut, places: FullPlaces) -> ProvenClass:
        named, gates, sequences = set(places.intervals), set(places.mailboxes), set(places.sequences)
        keys = zip(self.intervals["mailbox_id"], self.intervals["send_day"], strict=True)
        full = np.fromiter((key in named for key in keys), dtype=bool, count=len(self.intervals))
        up_to = self._is_up_to(cut)
        around = self._has_way_around(full, gates, sequences)
        avoiding = np.unique(self.contact[up_to & around])
        served = np.unique(self.contact[up_to & self.is_served[self.contact]])
        capacity = int(self.intervals["capacity"].to_numpy()[full].sum()) + self._bounds(places)
        lost = sum(
            (box, epoch_day(day)) in named or box in gates or sequence in sequences
            for sequence, box, day in self.lost.itertuples(index=False, name=None)
        )
        return ProvenClass(cut.number, len(served), capacity + len(avoiding), lost)

    def _is_up_to(self, cut: Cut) -> np.ndarray:
        """Return the candidates of the cut's class and of those before it."""
        same = self.priority == cut.priority
        if cut.follow_up:
            within = self.follow_up & (self.overdue >= cut.overdue)
        else:
            within = np.ones(len(self.follow_up), dtype=bool)
        return (self.priority > cut.priority) | (same & within)

    def _has_way_around(self, full: np.ndarray, gates: set[int], sequences: set[int]) -> np.ndarray:
        """Return which candidates have a way without any of these full places."""
        boxes = self.intervals["mailbox_id"].to_numpy()
        free = np.flatnonzero(~full)
        last_free = pd.Series(free, index=boxes[free]).groupby(level=0).max()
        pinned = self.candidates["pinned_mailbox_id"].map(last_free).fillna(-1).to_numpy()
        entry = self.ways.interval
        around = (self.ways.kind == PINNED) & (entry >= 0) & (pinned >= entry)
        routes = self.snapshot.routes
        open_boxes = set(last_free.index) - gates
        theirs = set(routes["sequence_id"][routes["mailbox_id"].isin(open_boxes)]) - sequences
        first = (self.ways.kind == FIRST) & ~self.ways.mailed
        around |= first & self.candidates["sequence_id"].isin(theirs).to_numpy()
        return around | self._moved_around(self.ways, boxes, last_free)

    @staticmethod
    def _moved_around(ways: Ways, boxes: np.ndarray, last_free: pd.Series) -> np.ndarray:
        groups = np.zeros(ways.group_count + 1, dtype=bool)
        last = pd.Series(boxes[ways.route_interval]).map(last_free).fillna(-1).to_numpy()
        groups[ways.route_group[last >= ways.route_interval]] = True
        return (ways.kind == MOVED) & (ways.moved_group >= 0) & groups[ways.moved_group]

    def _bounds(self, places: FullPlaces) -> int:
        """Return how many first mails the cut's mailboxes and sequences could still begin before the plan."""
        capacity = self.snapshot.mailbox_capacity.set_index("mailbox_id")["first_mails"]
        mailboxes, sequences = capacity.reindex(list(places.mailboxes)), list(places.sequences)
        return int(mailboxes.sum()) + int(self.new_left.reindex(sequences).sum())


def _cut(stored: dict[str, Any]) -> Cut:
    intervals = [(int(box), epoch_day(date.fromisoformat(day))) for box, day in stored.pop("intervals")]
    number = stored.pop("class")
    names = {one.name for one in fields(Cut)}
    return Cut(number=number, intervals=intervals, **{name: stored[name] for name in stored if name in names})
