"""Finds the cuts that prove a plan: the full places that hold back each class, and their bound.

For any set of places, no plan serves more contacts than the places can take, and those that have a way around
them. So a set whose bound is what the plan serves proves the plan. The set is what a waiting contact reaches
in the residual network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sequence_pipelines.planning.engine.array_ops import key_order

if TYPE_CHECKING:
    from sequence_pipelines.planning.engine.allocation import _Allocation

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
    intervals: list[tuple[int, int]]  # mailbox_id, send_day (epoch day)
    first_mail_mailboxes: list[int]
    first_mail_sequences: list[int]


def describe_class(cut: Cut) -> str:
    """Return the cut's class in words."""
    if not cut.follow_up:
        return f"first mails of priority {cut.priority}"
    days = "1 day" if cut.overdue == 1 else f"{cut.overdue} days"
    return f"follow-ups of priority {cut.priority}, {days} overdue" + " or more" * (
        cut.overdue == MOST_OVERDUE
    )


def find_cuts(allocation: _Allocation) -> list[Cut]:
    """Return the cut of each class in which somebody waits."""
    served = np.zeros(allocation.contact_count, dtype=bool)
    served[allocation.contact[allocation.served]] = True
    way = np.flatnonzero(allocation.group >= 0)
    waits = ~served[allocation.contact[way]]
    if not waits.any():
        return []
    return _Cuts(allocation, way, served).find(np.unique(allocation.class_of[way[waits]]))


class _Cuts:
    def __init__(self, allocation: _Allocation, ways: np.ndarray, served: np.ndarray) -> None:
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
        served = np.searchsorted(np.sort(first[self.served]), classes, side="right")
        waits = ~self.served & (first < OUT_OF_REACH)
        waiting = np.searchsorted(np.sort(first[waits]), classes, side="right")
        avoiding = self._avoiding(classes)
        return [
            self._cut(int(number), int(s), int(w), int(a))
            for number, s, w, a in zip(classes, served, waiting, avoiding, strict=True)
        ]

    def _cut(self, number: int, served: int, waiting: int, avoiding: int) -> Cut:
        network, allocation = self.network, self.allocation
        full = np.flatnonzero(self.box <= number)
        gates = np.flatnonzero((self.gate <= number) & (self.behind_gate > number) & (network.start_of >= 0))
        seats = np.flatnonzero((self.seat[network.first_groups] <= number) & (self.entered > number))
        capacity = (
            int(network.intervals.capacity[full].sum())
            + int(allocation.mailboxes["first_mails"].to_numpy()[gates].sum())
            + int(allocation.new_left[seats].sum())
        )
        name = allocation.class_names.iloc[number]
        boxes = allocation.intervals["mailbox_id"].to_numpy()[full].tolist()
        days = allocation.intervals["send_day"].to_numpy()[full].tolist()
        return Cut(
            number=number,
            priority=int(name["priority"]),
            follow_up=bool(name["follow_up"]),
            overdue=int(name["overdue"]),
            served=served,
            bound=capacity + avoiding,
            waiting=waiting,
            intervals=list(zip(boxes, days, strict=True)),
            first_mail_mailboxes=allocation.mailboxes["mailbox_id"].to_numpy()[gates].tolist(),
            first_mail_sequences=allocation.sequence_ids[seats].tolist(),
        )
