"""Random instances of a day, and an exact solver (scipy's milp) that knows contacts, not groups."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csc_array, lil_array

from sequence_pipelines.planning.engine.allocation import Allocation, allocate
from sequence_pipelines.planning.engine.capacity import UNBOUNDED
from sequence_pipelines.planning.engine.ways import FIRST, MOVED, PINNED, Ways

DAY = 20_000
MOST_SEQUENCES = 5  # of a contact


@dataclass(frozen=True)
class Instance:
    """The arguments of allocate."""

    candidates: pd.DataFrame
    ways: Ways
    routes: pd.DataFrame
    mailboxes: pd.DataFrame
    intervals: pd.DataFrame
    sequences: pd.DataFrame

    def allocate(self) -> Allocation:
        return allocate(
            self.candidates, self.ways, self.routes, self.mailboxes, self.intervals, self.sequences, DAY
        )

    @property
    def paths(self) -> list[tuple[int, int, int]]:
        """Every way of every candidate: candidate, interval, and the mailbox of the gate (0: none)."""
        boxes = self.intervals["mailbox_id"].to_numpy()
        found: list[tuple[int, int, int]] = []
        for n, kind in enumerate(self.ways.kind):
            if kind == FIRST and not self.ways.mailed[n]:
                sequence = self.candidates["sequence_id"][n]
                for box in self.routes["mailbox_id"][self.routes["sequence_id"] == sequence]:
                    found += [(n, i, box) for i in np.flatnonzero(boxes == box)]
            elif kind == PINNED and self.ways.interval[n] >= 0:
                found += [(n, i, 0) for i in self._from(self.ways.interval[n])]
            elif kind == MOVED and self.ways.moved_group[n] >= 0:
                for entry in self.ways.route_interval[self.ways.route_group == self.ways.moved_group[n]]:
                    found += [(n, i, 0) for i in self._from(entry)]
        return found

    def _from(self, entry: int) -> np.ndarray:
        boxes = self.intervals["mailbox_id"].to_numpy()
        return np.flatnonzero((boxes == boxes[entry]) & (np.arange(len(boxes)) >= entry))

    def most_served(
        self, allowed: np.ndarray, must: Collection[int] = (), others: Collection[int] = ()
    ) -> int | None:
        """Return the most contacts that mails of the `allowed` candidates can serve.

        `must` are contacts that have to be served, `others` contacts that may not be; None: impossible.
        """
        contact = self.candidates["contact_id"].to_numpy()
        sequence = self.candidates["sequence_id"].to_numpy()
        paths = [path for path in self.paths if allowed[path[0]] and contact[path[0]] not in others]
        if not paths:
            return None if must else 0
        candidate, interval, gate = np.array(paths).T
        rows: list[np.ndarray] = []
        least: list[float] = []
        most: list[float] = []

        def bound(members: np.ndarray, at_most: int, at_least: float = -np.inf) -> None:
            rows.append(np.flatnonzero(members))
            most.append(at_most)
            least.append(at_least)

        for one in set(contact.tolist()):
            bound(contact[candidate] == one, 1, 1 if one in must else -np.inf)
        for n, capacity in enumerate(self.intervals["capacity"]):
            bound(interval == n, capacity)
        for box, firsts in zip(self.mailboxes["mailbox_id"], self.mailboxes["first_mails"], strict=True):
            bound(gate == box, firsts)
        for one, left in zip(self.sequences["sequence_id"], self.sequences["new_left"], strict=True):
            bound((gate > 0) & (sequence[candidate] == one), left)
        matrix = lil_array((len(rows), len(paths)))
        for n, members in enumerate(rows):
            matrix[n, members] = 1
        solved = milp(
            -np.ones(len(paths)),
            constraints=LinearConstraint(csc_array(matrix), least, most),
            integrality=np.ones(len(paths)),
            bounds=Bounds(0, 1),
        )
        return None if solved.x is None else round(-solved.fun)

    def without(self, found: pd.DataFrame, gone: np.ndarray) -> Instance:
        """Return the instance in which the mails of these candidates hold their places already."""
        first = gone[self.ways.kind[gone] == FIRST]
        box, sequence = (
            found["mailbox_id"].to_numpy()[first],
            self.candidates["sequence_id"].to_numpy()[first],
        )
        used = np.bincount(found["interval"].to_numpy()[gone], minlength=len(self.intervals))
        boxes = np.array([(box == one).sum() for one in self.mailboxes["mailbox_id"]], dtype=np.int64)
        begun = np.array([(sequence == one).sum() for one in self.sequences["sequence_id"]], dtype=np.int64)
        return replace(
            self,
            intervals=self.intervals.assign(capacity=self.intervals["capacity"] - used),
            mailboxes=self.mailboxes.assign(first_mails=self.mailboxes["first_mails"] - boxes),
            sequences=self.sequences.assign(new_left=self.sequences["new_left"] - begun),
        )


def random_instance(rng: np.random.Generator, shared: float) -> Instance:
    """Return a small day: split windows, bounds, pins, moved follow-ups, contacts in up to five sequences."""
    boxes, sequences = int(rng.integers(1, 5)), int(rng.integers(1, 6))
    split = rng.integers(0, 4, boxes)  # open intervals of each mailbox
    first = np.cumsum(split) - split
    intervals = pd.DataFrame(
        {
            "mailbox_id": np.repeat(np.arange(boxes) + 1, split),
            "send_day": DAY + np.arange(split.sum()) - np.repeat(first, split),
            "capacity": rng.integers(0, 5, split.sum()),
        }
    )
    mailboxes = pd.DataFrame(
        {
            "mailbox_id": np.arange(boxes) + 1,
            "load": rng.integers(0, 4, boxes),
            "first_mails": rng.choice([0, 1, 3, UNBOUNDED], boxes),
            "state": np.where(split > 0, "", "window_closed").astype(object),
            "parked": False,
        }
    )
    pairs = [
        (s + 1, m + 1)
        for s in range(sequences)
        for m in rng.choice(boxes, rng.integers(0, boxes + 1), replace=False)
    ]
    routes = pd.DataFrame(pairs, columns=["sequence_id", "mailbox_id"]).astype(np.int64)
    team = pd.DataFrame(
        {
            "sequence_id": np.arange(sequences) + 1,
            "new_left": rng.choice([0, 2, UNBOUNDED], sequences, p=[0.1, 0.3, 0.6]),
            "begun": rng.choice([0, 0, 1, 4], sequences),
        }
    )
    priority = rng.integers(0, 2, sequences) if rng.random() < 0.5 else np.zeros(sequences, dtype=np.int64)
    people = []
    for contact in range(int(rng.integers(0, 26))):
        many = rng.integers(1, min(sequences, MOST_SEQUENCES) + 1) if rng.random() < shared else 1
        people += [(s + 1, 1000 + contact) for s in rng.choice(sequences, many, replace=False)]
    candidates = pd.DataFrame(people, columns=["sequence_id", "contact_id"]).astype(np.int64)
    candidates = candidates.sort_values(["sequence_id", "contact_id"], ignore_index=True)
    count = len(candidates)
    overdue = rng.integers(0, 4, count)
    candidates = candidates.assign(
        follow_up=rng.random(count) < 0.5,
        priority=priority[candidates["sequence_id"] - 1],
        overdue=overdue,
        due_day=DAY - overdue,
        waits_since=DAY - overdue,
        pinned_mailbox_id=0,
    )
    return Instance(
        candidates, _random_ways(rng, candidates, routes, split, first), routes, mailboxes, intervals, team
    )


def _random_ways(
    rng: np.random.Generator,
    candidates: pd.DataFrame,
    routes: pd.DataFrame,
    split: np.ndarray,
    first: np.ndarray,
) -> Ways:
    count = len(candidates)
    follow_up = candidates["follow_up"].to_numpy(bool)
    kind = np.where(follow_up, np.where(rng.random(count) < 0.7, PINNED, MOVED), FIRST)
    interval, group = np.full(count, -1), np.full(count, -1)
    groups: dict[tuple[int, ...], int] = {}
    for n in range(count):
        if kind[n] == PINNED:
            box = int(rng.integers(0, len(split)))
            candidates.loc[n, "pinned_mailbox_id"] = box + 1
            late = int(rng.integers(0, 4))
            interval[n] = first[box] + late if late < split[box] else -1
        elif kind[n] == MOVED:
            sequence = int(candidates["sequence_id"][n])
            theirs = routes["mailbox_id"][routes["sequence_id"] == sequence].to_numpy() - 1
            late = rng.integers(0, 2, len(theirs))
            entries = tuple(int(first[b] + d) for b, d in zip(theirs, late, strict=True) if d < split[b])
            if entries:
                group[n] = groups.setdefault((sequence, *entries), len(groups))
    route_group = [number for key, number in groups.items() for _ in key[1:]]
    route_interval = [entry for key in groups for entry in key[1:]]
    mailed = (kind == FIRST) & (rng.random(count) < 0.05)
    return Ways(
        kind,
        interval,
        group,
        np.array(route_group, dtype=np.int64),
        np.array(route_interval, dtype=np.int64),
        mailed,
        np.zeros(count, dtype=bool),
    )


def assert_proven(instance: Instance) -> None:
    """Compare an allocation with the exact solver: feasible, largest for each class, fair, and its bounds."""
    allocation = instance.allocate()
    found, candidates, ways = allocation.found, instance.candidates, instance.ways
    served = (found["mailbox_id"] > 0).to_numpy()
    contact, sequence = candidates["contact_id"].to_numpy(), candidates["sequence_id"].to_numpy()
    number, interval = found["class"].to_numpy(), found["interval"].to_numpy()
    everybody = set(contact[served].tolist())
    assert len(everybody) == served.sum()
    assert ((found["reason"] == "") == served).all()
    paths = instance.paths
    assert {(n, interval[n]) for n in np.flatnonzero(served)} <= {path[:2] for path in paths}
    left = instance.without(found, np.flatnonzero(served))
    for frame, column in ((left.intervals, "capacity"), (left.mailboxes, "first_mails")):
        assert (frame[column] >= 0).all()
    assert (left.sequences["new_left"] >= 0).all()
    has_way = np.zeros(len(candidates), dtype=bool)
    has_way[[path[0] for path in paths]] = True
    cuts = {cut.number: cut for cut in allocation.find_cuts()}
    for k in range(int(number.max(initial=-1)) + 1):
        ours = len(everybody & set(contact[(number <= k) & has_way].tolist()))
        most = instance.most_served(number <= k)
        assert most is not None
        assert ours >= most
        if k in cuts:
            assert most <= cuts[k].bound <= ours
    _assert_fair(instance, found, _chosen(instance, found, has_way), everybody)
    assert (sequence > 0).all()
    assert (ways.kind >= 0).all()


def assert_in_order(instance: Instance) -> None:
    """Nobody overtakes a follow-up of a contact that is due in one sequence only.

    Neither a follow-up of its priority, mailbox and intervals that is due later, nor a first mail of the
    same or a lower priority in an interval that it may use.
    """
    found, candidates, ways = instance.allocate().found, instance.candidates, instance.ways
    served, interval = (found["mailbox_id"] > 0).to_numpy(), found["interval"].to_numpy()
    priority, overdue = candidates["priority"].to_numpy(), candidates["overdue"].to_numpy()
    once = ~candidates["contact_id"].duplicated(keep=False).to_numpy()
    boxes = instance.intervals["mailbox_id"].to_numpy()
    for waits in np.flatnonzero(~served & once & (ways.kind == PINNED) & (ways.interval >= 0)):
        alike = served & once & (ways.kind == PINNED) & (ways.interval == ways.interval[waits])
        assert not (alike & (priority == priority[waits]) & (overdue < overdue[waits])).any()
        first = served & (ways.kind == FIRST) & (interval >= ways.interval[waits])
        first[first] = boxes[interval[first]] == boxes[ways.interval[waits]]
        assert not (first & (priority <= priority[waits])).any()


def _chosen(instance: Instance, found: pd.DataFrame, has_way: np.ndarray) -> dict[int, int]:
    """Return each contact's most urgent candidate with an open way: it counts for that sequence."""
    from sequence_pipelines.planning.engine.allocation import _Allocation

    fields = (instance.candidates, instance.ways, instance.routes, instance.mailboxes, instance.intervals)
    chosen = np.flatnonzero(_Allocation(*fields, instance.sequences, DAY).choose())
    assert has_way[chosen].all()
    assert found["class"].to_numpy()[chosen].min(initial=0) >= 0
    return dict(
        zip(instance.candidates["contact_id"].to_numpy()[chosen].tolist(), chosen.tolist(), strict=True)
    )


def _assert_fair(
    instance: Instance, found: pd.DataFrame, chosen: dict[int, int], everybody: set[int]
) -> None:
    """No contact of a sequence with at least two first mails more can give way to one with fewer."""
    contact, sequence = (
        instance.candidates["contact_id"].to_numpy(),
        instance.candidates["sequence_id"].to_numpy(),
    )
    kind, number = instance.ways.kind, found["class"].to_numpy()
    first = {one: n for one, n in chosen.items() if kind[n] == FIRST}
    counts = dict(zip(instance.sequences["sequence_id"], instance.sequences["begun"], strict=True))
    for one, n in first.items():
        counts[sequence[n]] += one in everybody
    served = (found["mailbox_id"] > 0).to_numpy()
    for one, n in first.items():
        if one in everybody:
            continue
        open_now = number <= number[n]
        rest = instance.without(found, np.flatnonzero(served & ~open_now))
        mine = set(contact[served & open_now].tolist())
        for other, m in first.items():
            richer = counts[sequence[m]] >= counts[sequence[n]] + 2
            if other in mine and number[m] == number[n] and richer:
                must = (mine - {other}) | {one}
                assert rest.most_served(open_now, must, set(contact.tolist()) - must) is None
