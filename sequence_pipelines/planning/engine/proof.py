"""Finds the cuts that prove a plan: the full places that hold back each class, and their bound.

For any set of places, no plan serves more contacts than the places can take, and those that have a way around
them. So a set whose bound is what the plan serves proves the plan. The set is what a waiting contact reaches
in the residual network.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from sequence_pipelines.planning.engine.array_ops import key_order
from sequence_pipelines.planning.engine.candidate_state import CandidateState

OUT_OF_REACH = 2**40
MOST_OVERDUE = 30  # days: follow-ups that are overdue for longer are in one class


@dataclass(frozen=True)
class Cut:
    """The cut of a class: of it and those before it `served` are served, at most `bound` can be."""

    number: int
    priority: int
    follow_up: bool
    overdue: int
    served: int
    bound: int
    waiting: int
    # What comes to the full places of the class before it, or leaves them:
    intervals: list[tuple[int, int]]  # mailbox_id, send_day (epoch day)
    first_mail_mailboxes: list[int]
    first_mail_sequences: list[int]
    mailboxes_left: list[int] = field(default_factory=list)  # their intervals are full, too
    sequences_left: list[int] = field(default_factory=list)


@dataclass
class FullPlaces:
    """The full places of a class's cut."""

    intervals: list[tuple[int, int]] = field(default_factory=list)  # mailbox_id, send_day
    mailboxes: dict[int, None] = field(default_factory=dict)  # max_first_mails is reached
    sequences: dict[int, None] = field(default_factory=dict)  # max_new_per_day is reached


def accumulate(cuts: list[Cut]) -> Iterator[tuple[Cut, FullPlaces]]:
    """Yield each cut with all its full places, which are valid until the next one."""
    places = FullPlaces()
    for cut in cuts:
        places.intervals += cut.intervals
        places.mailboxes.update(dict.fromkeys(cut.first_mail_mailboxes))
        places.sequences.update(dict.fromkeys(cut.first_mail_sequences))
        for mailbox in cut.mailboxes_left:
            places.mailboxes.pop(mailbox, None)
        for sequence in cut.sequences_left:
            places.sequences.pop(sequence, None)
        yield cut, places


def describe_class(cut: Cut) -> str:
    """Return the cut's class in words."""
    if not cut.follow_up:
        return f"first mails of priority {cut.priority}"
    days = "1 day" if cut.overdue == 1 else f"{cut.overdue} days"
    return f"follow-ups of priority {cut.priority}, {days} overdue" + " or more" * (
        cut.overdue == MOST_OVERDUE
    )


def find_cuts(allocation: CandidateState) -> list[Cut]:
    """Return the cut of each class in which somebody waits."""
    served = np.zeros(allocation.contact_count, dtype=bool)
    served[allocation.contact[allocation.served]] = True
    way = np.flatnonzero(allocation.group >= 0)
    waits = ~served[allocation.contact[way]]
    if not waits.any():
        return []
    return _Cuts(allocation, way, served).find(np.unique(allocation.class_of[way[waits]]))


class _Cuts:
    def __init__(self, allocation: CandidateState, ways: np.ndarray, served: np.ndarray) -> None:
        self.allocation, self.network = allocation, allocation.network
        self.ways, self.served = ways, served
        self.contact = allocation.contact[ways]
        self.group = allocation.group[ways]
        self.class_of = allocation.class_of[ways]
        self.groups = len(self.network.placed)
        label = self._labels()
        network, nodes = self.network, self.network.intervals
        self.seat = label[network.nodes :]
        self.gate = label[network.gates : network.gates + len(network.first_free)]
        self.box = nodes.least_before(label[network.boxes : network.nodes])
        self.behind_gate = np.full(
            len(self.gate), OUT_OF_REACH
        )  # from which class on the intervals behind are full
        some = np.flatnonzero(network.start_of >= 0)
        self.behind_gate[some] = self.box[network.start_of[some]]
        self.entered = label[network.firsts : network.firsts + network.sequence_count]

    def _labels(self) -> np.ndarray:
        """Return the first class whose waiting contacts reach each node and each group's seat."""
        network, allocation = self.network, self.allocation
        tails, heads, sizes = network.arcs()
        seat = network.nodes + np.arange(self.groups)
        room = np.ones(self.groups, dtype=np.int64)
        room[network.first_groups] = allocation.new_left - network.placed[network.first_groups]
        tails, heads = np.r_[tails, seat, network.entry], np.r_[heads, network.entry, seat]
        sizes = np.r_[sizes, room, network.placed]
        keep = sizes > 0
        tails, heads, weight = tails[keep], heads[keep], np.zeros(keep.sum(), dtype=np.int64)
        shared = self._changes()
        tails, heads = np.r_[tails, network.nodes + shared[0]], np.r_[heads, network.nodes + shared[1]]
        weight = np.r_[weight, shared[2]]
        label = np.full(network.nodes + self.groups, OUT_OF_REACH, dtype=np.int64)
        waits = ~self.served[self.contact]
        np.minimum.at(label, network.nodes + self.group[waits], self.class_of[waits])
        changed = label < OUT_OF_REACH
        while changed.any():
            some = np.flatnonzero(changed[tails])
            offered = np.maximum(label[tails[some]], weight[some])
            before = label.copy()
            np.minimum.at(label, heads[some], offered)
            changed = label < before
        return label

    def _changes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the group that serves a contact, one that it may change to, and that mail's class."""
        none = np.zeros(0, dtype=np.int64)
        allocation = self.allocation
        if allocation.contact_count == len(allocation.contact):
            return none, none, none
        serving = np.full(allocation.contact_count, -1, dtype=np.int64)
        serving[allocation.contact[allocation.served]] = np.flatnonzero(allocation.served)
        now = serving[self.contact]
        other = np.flatnonzero((now >= 0) & (now != self.ways))
        if not len(other):
            return none, none, none
        first = np.full(allocation.contact_count, OUT_OF_REACH)
        np.minimum.at(first, self.contact, self.class_of)
        weight = np.maximum(self.class_of[other], first[self.contact[other]])
        return allocation.group[now[other]], self.group[other], weight

    def _full_from(self) -> np.ndarray:
        """Return for each group the class from which on every way of it leads through a full place."""
        network = self.network
        route = np.minimum(self.gate, self.behind_gate)[network.first_mailbox]
        first = np.full(network.sequence_count, -1, dtype=np.int64)
        np.maximum.at(first, network.first_sequence, route)
        first = np.minimum(first, self.seat[network.first_groups])
        moved = np.full(network.moved_count, -1, dtype=np.int64)
        np.maximum.at(moved, network.moved_group, self.box[network.moved_interval])
        return np.r_[self.box, first, moved]

    def _avoiding(self, classes: np.ndarray) -> np.ndarray:
        """Return how many contacts have a way of the class or one before it that avoids the class's cut."""
        until = self._full_from()[self.group]
        order = key_order(self.contact, self.class_of)
        contact, begin, end = self.contact[order], self.class_of[order], until[order]
        # Of each contact's spans [class of the way, until it is full), count the union.
        stride = OUT_OF_REACH + 1
        latest = np.maximum.accumulate(contact * stride + np.maximum(end, 0)) - contact * stride
        same = np.r_[False, contact[1:] == contact[:-1]]
        before = np.where(same, np.r_[0, latest[:-1]], 0)
        begin = np.maximum(begin, before)
        some = end > begin
        return np.searchsorted(np.sort(begin[some]), classes, side="right") - np.searchsorted(
            np.sort(end[some]), classes, side="right"
        )

    def find(self, classes: np.ndarray) -> list[Cut]:
        first = np.full(self.allocation.contact_count, OUT_OF_REACH, dtype=np.int64)
        np.minimum.at(first, self.contact, self.class_of)
        served = _upto(first[self.served], classes)
        waiting = _upto(first[~self.served], classes)
        network, allocation = self.network, self.allocation
        has_interval = network.start_of >= 0
        full = _Entering(classes, self.box)
        gates = _Entering(classes, np.where(has_interval, self.gate, OUT_OF_REACH), self.behind_gate)
        seats = _Entering(classes, self.seat[network.first_groups], self.entered)
        bound = (
            self._avoiding(classes)
            + full.total(network.intervals.capacity)
            + gates.total(allocation.mailboxes["first_mails"].to_numpy())
            + seats.total(allocation.new_left)
        )
        boxes = allocation.intervals["mailbox_id"].to_numpy()
        days = allocation.intervals["send_day"].to_numpy()
        mailboxes = allocation.mailboxes["mailbox_id"].to_numpy()
        names = allocation.class_names.iloc[classes].reset_index(drop=True)
        return [
            Cut(
                number=int(number),
                priority=int(names["priority"][n]),
                follow_up=bool(names["follow_up"][n]),
                overdue=int(names["overdue"][n]),
                served=int(served[n]),
                bound=int(bound[n]),
                waiting=int(waiting[n]),
                intervals=list(zip(boxes[full.enter[n]].tolist(), days[full.enter[n]].tolist(), strict=True)),
                first_mail_mailboxes=mailboxes[gates.enter[n]].tolist(),
                first_mail_sequences=allocation.sequence_ids[seats.enter[n]].tolist(),
                mailboxes_left=mailboxes[gates.leave[n]].tolist(),
                sequences_left=allocation.sequence_ids[seats.leave[n]].tolist(),
            )
            for n, number in enumerate(classes)
        ]


class _Entering:
    """Places that are in the cuts of the classes from one on, and before another one."""

    def __init__(self, classes: np.ndarray, begin: np.ndarray, end: np.ndarray | None = None) -> None:
        self.count = len(classes)
        self.begin = np.searchsorted(classes, begin)
        end = np.full(len(begin), OUT_OF_REACH) if end is None else end
        self.end = np.maximum(np.searchsorted(classes, end), self.begin)
        some = self.begin < self.end
        self.enter = _by_number(np.where(some, self.begin, self.count), self.count)
        self.leave = _by_number(np.where(some, self.end, self.count), self.count)

    def total(self, values: np.ndarray) -> np.ndarray:
        """Return the sum of the values of the places in each class's cut."""
        change = np.zeros(self.count + 1, dtype=np.int64)
        np.add.at(change, self.begin, values)
        np.subtract.at(change, self.end, values)
        return np.cumsum(change)[: self.count]


def _by_number(numbers: np.ndarray, count: int) -> list[np.ndarray]:
    """Return the positions of each number from 0 to count - 1."""
    order = np.argsort(numbers, kind="stable")
    return np.split(order, np.searchsorted(numbers[order], np.arange(1, count + 1)))[:count]


def _upto(values: np.ndarray, classes: np.ndarray) -> np.ndarray:
    return np.searchsorted(np.sort(values), classes, side="right")
