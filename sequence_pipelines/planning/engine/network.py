"""Holds the counts of a plan as a flow from groups of candidates through gates to open intervals.

    pinned at an interval ─────────────────────────▶ interval ─▶ … ─▶ first interval of its mailbox ─▶ sink
    moved, by its routes ──────────────────────────▶ interval
    first mails of a sequence ─▶ gate of a mailbox ─▶ first interval

A candidate that may use an interval may use every later one of the same mailbox, so a group enters at its
earliest interval. The intervals of a mailbox are a chain: the arc from an interval to the one before it
carries all that entered at it or later, and its capacity is that of all these intervals together. A set of
candidates fits into the intervals if and only if it fits into the chain (Hall's condition for nested sets).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from sequence_pipelines.planning.engine.array_ops import key_order
from sequence_pipelines.planning.engine.capacity import UNBOUNDED

FINE = 2**22  # fractions are ordered as integers of this many parts, which leave room to sort by a group too
MOST_ROUNDS = 16  # of placing what level filling leaves over
ROUNDS = 4  # of level filling; each round places its share of the rest, so that mailboxes fill evenly
SOURCE, SINK, FIRST_NODE = 0, 1, 2


@dataclass(frozen=True)
class Intervals:
    """The open intervals, sorted by mailbox and time; `mailbox` is a position among the mailboxes."""

    mailbox: np.ndarray
    capacity: np.ndarray  # mails
    start: np.ndarray = field(init=False)  # of each interval: the first one of its mailbox
    depth: np.ndarray = field(init=False)  # its position in the chain, from 0

    def __post_init__(self) -> None:
        new = np.r_[True, self.mailbox[1:] != self.mailbox[:-1]] if len(self.mailbox) else np.zeros(0, bool)
        position = np.arange(len(self.mailbox))
        start = np.maximum.accumulate(np.where(new, position, 0)) if len(position) else position
        object.__setattr__(self, "start", start)
        object.__setattr__(self, "depth", position - start)

    @cached_property
    def levels(self) -> list[np.ndarray]:
        """The intervals of each depth; nearly all mailboxes have one interval."""
        return [np.flatnonzero(self.depth == d) for d in range(int(self.depth.max(initial=-1)) + 1)]

    def with_later(self, counts: np.ndarray) -> np.ndarray:
        """Return the sum of each interval's count and those of the later intervals of its mailbox."""
        total = counts.copy()
        for nodes in self.levels[:0:-1]:
            total[nodes - 1] += total[nodes]
        return total

    def least_before(self, values: np.ndarray) -> np.ndarray:
        """Return the least of each interval's value and those of the earlier intervals of its mailbox."""
        least = values.copy()
        for nodes in self.levels[1:]:
            least[nodes] = np.minimum(least[nodes], least[nodes - 1])
        return least


@dataclass
class Regions:
    """Parts of the network that are settled on their own: a number for each node, below 0 if settled.

    What a waiting candidate reaches is full. It becomes a region of its own, whose full arcs lead out of it:
    their ends stay taken, whatever is taken back and placed again inside. No other arc leads from one region
    into another.
    """

    of_node: np.ndarray
    gate_leads_out: np.ndarray  # of each mailbox: the arc from its gate to its first interval
    chain_leads_out: np.ndarray  # of each interval: the arc to the one before it

    def split(self, network: Network, reached: np.ndarray, number: np.ndarray) -> None:
        """Give the reached nodes these new numbers."""
        before, self.of_node = self.of_node, self.of_node.copy()
        self.of_node[reached] = number
        box = np.flatnonzero(network.start_of >= 0)
        gates, starts = network.gates + box, network.boxes + network.start_of[box]
        self.gate_leads_out[box] |= reached[gates] & ~reached[starts] & (before[gates] == before[starts])
        chain = np.flatnonzero(network.intervals.depth > 0)
        node = network.boxes + chain
        self.chain_leads_out[chain] |= reached[node] & ~reached[node - 1] & (before[node] == before[node - 1])


@dataclass
class Network:
    """What is placed, and what is free; groups are pinned (an interval), first (a sequence) or moved."""

    intervals: Intervals
    mailbox_total: np.ndarray  # of each mailbox: load and capacity, in mails
    first_free: np.ndarray  # of each mailbox: first mails that it may still begin
    sequence_count: int
    first_sequence: np.ndarray  # of each route of first mails
    first_mailbox: np.ndarray
    moved_count: int
    moved_group: np.ndarray  # of each route of moved follow-ups, from 0
    moved_interval: np.ndarray
    free: np.ndarray = field(init=False)  # of each interval and the later ones: mails
    first: np.ndarray = field(init=False)  # of each route
    moved: np.ndarray = field(init=False)
    placed: np.ndarray = field(init=False)  # of each group

    def __post_init__(self) -> None:
        i, s, m = len(self.intervals.mailbox), self.sequence_count, len(self.mailbox_total)
        self.first_free = self.first_free.astype(np.int64).copy()
        self.free = self.intervals.with_later(self.intervals.capacity.astype(np.int64))
        self.first = np.zeros(len(self.first_sequence), dtype=np.int64)
        self.moved = np.zeros(len(self.moved_group), dtype=np.int64)
        self.placed = np.zeros(i + s + self.moved_count, dtype=np.int64)
        self.start_of = np.full(m, -1, dtype=np.int64)
        firsts = np.flatnonzero(self.intervals.depth == 0)
        self.start_of[self.intervals.mailbox[firsts]] = firsts
        self.pinned_groups, self.first_groups = slice(0, i), slice(i, i + s)
        self.moved_groups = slice(i + s, i + s + self.moved_count)
        self.firsts = FIRST_NODE
        self.moves = self.firsts + s
        self.gates = self.moves + self.moved_count
        self.boxes = self.gates + m
        self.nodes = self.boxes + i
        self.entry = np.r_[
            self.boxes + np.arange(i), self.firsts + np.arange(s), self.moves + np.arange(self.moved_count)
        ]

    # --- placing ----------------------------------------------------------------------------------

    def place(self, wanted: np.ndarray) -> None:
        """Place as many of `wanted` (of each group, with those placed) as fit; fill mailboxes evenly."""
        self._place_pinned(wanted[self.pinned_groups] - self.placed[self.pinned_groups])
        self._fill_levels(wanted[self.moved_groups] - self.placed[self.moved_groups], first_mails=False)
        self._fill_levels(wanted[self.first_groups] - self.placed[self.first_groups], first_mails=True)
        self._fill_rest(wanted[self.first_groups] - self.placed[self.first_groups])
        self.augment(wanted)

    def room(self) -> np.ndarray:
        """Return for each interval how many can still enter at it."""
        return self.intervals.least_before(self.free)

    def open_groups(self) -> np.ndarray:
        """Return which groups have a way on which every bound is positive."""
        room = self.room() > 0
        box = (self.start_of >= 0) & (self.first_free > 0)
        box[box] = room[self.start_of[box]]
        first, moved = np.zeros(self.sequence_count, dtype=bool), np.zeros(self.moved_count, dtype=bool)
        first[self.first_sequence[box[self.first_mailbox]]] = True
        moved[self.moved_group[room[self.moved_interval]]] = True
        return np.r_[room, first, moved]

    def _place_pinned(self, wanted: np.ndarray) -> None:
        """Place follow-ups, the later intervals first: their groups have the fewest ways."""
        for nodes in self.intervals.levels[::-1]:
            counts = np.zeros(len(wanted), dtype=np.int64)
            counts[nodes] = np.minimum(wanted[nodes], np.maximum(self.room()[nodes], 0))
            self._take(counts)
            self.placed[self.pinned_groups] += counts

    def _take(self, counts: np.ndarray) -> None:
        """Take counts (negative: give back) of slots at each interval."""
        self.free -= self.intervals.with_later(counts)

    def _fill_levels(self, left: np.ndarray, *, first_mails: bool) -> None:
        """Place each group's candidates in its emptiest mailboxes, all groups at once."""
        if not left.any():
            return
        group = self.first_sequence if first_mails else self.moved_group
        node = self.start_of[self.first_mailbox] if first_mails else self.moved_interval
        counts = self.first if first_mails else self.moved
        kind = self.first_groups if first_mails else self.moved_groups
        for rounds_left in range(ROUNDS, 0, -1):
            bound = self.room()
            if first_mails:
                bound = np.minimum(bound, self.first_free[self.intervals.mailbox])
            routes = np.flatnonzero((left[group] > 0) & (bound[node] > 0))
            if not len(routes):
                return
            given = self._pour(group[routes], node[routes], -(-left // rounds_left), bound, first=first_mails)
            counts[routes] += given
            taken = np.bincount(node[routes], weights=given, minlength=len(self.free)).astype(np.int64)
            self._take(taken)
            if first_mails:
                self.first_free -= np.bincount(
                    self.first_mailbox[routes], weights=given, minlength=len(self.first_free)
                ).astype(np.int64)
            done = np.bincount(group[routes], weights=given, minlength=len(left)).astype(np.int64)
            self.placed[kind] += done
            left = left - done

    def _fill_rest(self, left: np.ndarray) -> None:
        """Place first mails that the levels left over, each in its group's emptiest mailbox that has room.

        Many small groups lose much to rounding; without this, a maximum flow would have to place them.
        """
        for _ in range(MOST_ROUNDS):
            bound = np.zeros(len(self.first_free), dtype=np.int64)
            some = np.flatnonzero(self.start_of >= 0)
            bound[some] = np.minimum(self.free[self.start_of[some]], self.first_free[some])
            routes = np.flatnonzero((left[self.first_sequence] > 0) & (bound[self.first_mailbox] > 0))
            if not len(routes):
                return
            use = FINE - bound * FINE // np.maximum(self.mailbox_total, 1)
            group, box = self.first_sequence[routes], self.first_mailbox[routes]
            order = key_order(group, use[box])
            emptiest = order[np.r_[True, np.diff(group[order]) > 0]]
            emptiest = emptiest[key_order(box[emptiest])]
            group, box, routes = group[emptiest], box[emptiest], routes[emptiest]
            starts = np.flatnonzero(np.r_[True, np.diff(box) > 0])
            segment = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(box)]))
            before = _running(left[group], starts, segment) - left[group]
            given = np.clip(bound[box] - before, 0, left[group])
            self.first[routes] += given
            taken = np.bincount(box, weights=given, minlength=len(bound)).astype(np.int64)
            self.first_free -= taken
            counts = np.zeros(len(self.free), dtype=np.int64)
            counts[self.start_of[some]] = taken[some]
            self._take(counts)
            left = left.copy()
            left[group] -= given
            self.placed[self.first_groups][group] += given

    def _pour(
        self, group: np.ndarray, node: np.ndarray, share: np.ndarray, bound: np.ndarray, *, first: bool
    ) -> np.ndarray:
        """Return how many of its group's share each route takes, within the bounds.

        Water filling: a mailbox's level is its used part, and a group's share raises its emptiest mailboxes
        to one common level.
        """
        total = self.mailbox_total.astype(np.float64)
        left = np.zeros(len(total))
        opened = self.start_of >= 0
        left[opened] = self.free[self.start_of[opened]]
        level = (total - left) / np.maximum(total, 1)
        box = self.intervals.mailbox[node]
        order = key_order(group, (level[box] * FINE).astype(np.int64))
        group, box, entered = group[order], box[order], node[order]
        starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
        segment = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(group)]))
        size, used = total[box], (total - left)[box]
        # A mailbox is wet if all emptier ones can be filled to its level without using up the share.
        needed = level[box] * _running(size, starts, segment) - _running(used, starts, segment)
        wet = needed < share[group]
        wet_size = np.add.reduceat(np.where(wet, size, 0), starts)
        wet_used = np.add.reduceat(np.where(wet, used, 0), starts)
        height = (share[group[starts]] + wet_used) / np.maximum(wet_size, 1)
        poured = np.where(wet, np.clip(height[segment] * size - used, 0, bound[entered]), 0.0)
        whole = _whole(poured, starts, segment)
        demand = self.intervals.with_later(np.bincount(entered, weights=whole, minlength=len(bound)))
        limits = np.minimum(self.free, bound) if first else self.free
        scale = self.intervals.least_before(np.minimum(1.0, limits / np.maximum(demand, 1)))
        given = np.empty(len(group), dtype=np.int64)
        given[order] = np.floor(whole * scale[entered] + 1e-9)
        return given

    # --- changing ---------------------------------------------------------------------------------

    def reduce(self, most: np.ndarray, regions: Regions | None = None) -> None:
        """Take back what a group has beyond `most`; with `regions`, within the group's region only."""
        over = np.maximum(self.placed - most, 0)
        if not over.any():
            return
        self._give_back(over[self.pinned_groups], regions)
        for kind, group, counts in (
            (self.first_groups, self.first_sequence, self.first),
            (self.moved_groups, self.moved_group, self.moved),
        ):
            excess = over[kind]
            if not excess.any():
                continue
            order = key_order(group)
            ordered = group[order]
            starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
            segment = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(ordered)]))
            upto = _running(counts[order], starts, segment)
            back = np.zeros(len(group), dtype=np.int64)
            before = upto - counts[order]
            back[order] = np.clip(excess[ordered] - before, 0, counts[order])
            np.subtract(counts, back, out=counts)
            if kind is self.first_groups:
                node = self.start_of[self.first_mailbox]
                self.first_free += np.bincount(
                    self.first_mailbox, weights=back, minlength=len(self.first_free)
                ).astype(np.int64)
            else:
                node = self.moved_interval
            if len(node):
                entered = np.bincount(node, weights=back, minlength=len(self.free)).astype(np.int64)
                if regions is not None and kind is self.first_groups:
                    out = regions.gate_leads_out[self.intervals.mailbox]
                    entered[out & (self.intervals.depth == 0)] = 0
                self._give_back(entered, regions)
        self.placed -= over

    def _give_back(self, counts: np.ndarray, regions: Regions | None) -> None:
        """Give back slots that were entered at each interval, up to the arc that leads out of the region."""
        total = counts.copy()
        for nodes in self.intervals.levels[:0:-1]:
            inside = (
                total[nodes] if regions is None else np.where(regions.chain_leads_out[nodes], 0, total[nodes])
            )
            total[nodes - 1] += inside
        self.free += total

    def augment(self, wanted: np.ndarray, regions: Regions | None = None) -> None:
        """Place as many more of `wanted` as a maximum flow through the residual network can.

        A candidate placed before may change its way and is never dropped: no arc leads back to the source.
        """
        short = np.maximum(wanted - self.placed, 0)
        targets = np.flatnonzero(short)
        if not len(targets) or not len(self.free):
            return
        network = self.residual(targets, short[targets], regions)
        result = maximum_flow(network, SOURCE, SINK)
        if result.flow_value:
            self.apply(result.flow)
            self.placed[targets] += entries(result.flow, np.full(len(targets), SOURCE), self.entry[targets])

    def reach(self, wanted: np.ndarray, regions: Regions | None = None) -> np.ndarray:
        """Return the nodes that a waiting candidate reaches: the source side of the cut."""
        short = np.maximum(wanted - self.placed, 0)
        targets = np.flatnonzero(short)
        reached = np.zeros(self.nodes, dtype=bool)
        if len(targets):
            network = self.residual(targets, short[targets], regions)
            reached[breadth_first_order(network, SOURCE, return_predecessors=False)] = True
        return reached

    def residual(self, targets: np.ndarray, sizes: np.ndarray, regions: Regions | None) -> csr_array:
        """Return the residual network with the source's arcs to the groups `targets`."""
        tails, heads, room = self.arcs()
        keep = room > 0
        if regions is not None:
            heads = np.where(self._lead_out(tails, heads, regions), SINK, heads)
            region = regions.of_node
            keep &= (region[tails] >= 0) & ((region[tails] == region[heads]) | (heads == SINK))
        kept = self._by_tail[keep[self._by_tail]]
        leaving = np.bincount(tails[kept], minlength=self.nodes)
        leaving[SOURCE] = len(targets)  # its arcs come first
        heads = np.r_[self.entry[targets], heads[kept]].astype(np.int32)
        size = np.minimum(np.r_[sizes, room[kept]], UNBOUNDED).astype(np.int32)
        starts = np.r_[0, np.cumsum(leaving)].astype(np.int32)
        return csr_array((size, heads, starts), shape=(self.nodes, self.nodes))

    def _lead_out(self, tails: np.ndarray, heads: np.ndarray, regions: Regions) -> np.ndarray:
        """Return which arcs lead out of their region: from gates, and along the chain."""
        gate = (tails >= self.gates) & (tails < self.boxes) & (heads >= self.boxes)
        chain = (tails >= self.boxes) & (heads == tails - 1)
        out = np.zeros(len(tails), dtype=bool)
        out[gate] = regions.gate_leads_out[tails[gate] - self.gates]
        out[chain] = regions.chain_leads_out[tails[chain] - self.boxes]
        return out

    @cached_property
    def _ends(self) -> tuple[np.ndarray, np.ndarray]:
        """The tails and the heads of the residual network's arcs without the source's."""
        chain = self.boxes + np.flatnonzero(self.intervals.depth > 0)
        first, moved = self.firsts + self.first_sequence, self.moves + self.moved_group
        gate, box = self.gates + self.first_mailbox, self.boxes + self.moved_interval
        open_box = np.flatnonzero(self.start_of >= 0)
        gates, starts = self.gates + open_box, self.boxes + self.start_of[open_box]
        arcs = [
            (first, gate),
            (gate, first),
            (moved, box),
            (box, moved),
            (gates, starts),
            (starts, gates),
            (chain, chain - 1),
            (chain - 1, chain),
            (starts, np.full(len(starts), SINK)),
        ]
        tails, heads = (np.concatenate(ends) for ends in zip(*arcs, strict=True))
        return tails, heads

    @cached_property
    def _by_tail(self) -> np.ndarray:
        """The arcs' positions in the order of their tails."""
        return np.argsort(self._ends[0], kind="stable")

    def arcs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the residual network's arcs without the source's: tails, heads, and their room."""
        chain = np.flatnonzero(self.intervals.depth > 0)
        used = self.intervals.with_later(self.intervals.capacity) - self.free
        open_box = np.flatnonzero(self.start_of >= 0)
        through = np.bincount(self.first_mailbox, weights=self.first, minlength=len(self.first_free))
        room = [
            np.full(len(self.first), UNBOUNDED),
            self.first,
            np.full(len(self.moved), UNBOUNDED),
            self.moved,
            self.first_free[open_box],
            through[open_box].astype(np.int64),
            self.free[chain],
            used[chain],
            self.free[self.start_of[open_box]],
        ]
        return *self._ends, np.concatenate(room)

    def apply(self, flow: csr_array) -> None:
        """Add a flow to what is placed on routes and in intervals."""
        chain = np.flatnonzero(self.intervals.depth > 0)
        open_box = np.flatnonzero(self.start_of >= 0)
        starts = self.start_of[open_box]
        self.first += entries(flow, self.firsts + self.first_sequence, self.gates + self.first_mailbox)
        self.moved += entries(flow, self.moves + self.moved_group, self.boxes + self.moved_interval)
        gates, chain_nodes = self.gates + open_box, self.boxes + chain
        self.first_free[open_box] -= entries(flow, gates, self.boxes + starts)
        self.first_free[open_box] -= entries(flow, gates, np.full(len(gates), SINK))  # out of a region
        self.free[chain] -= entries(flow, chain_nodes, chain_nodes - 1)
        self.free[chain] -= entries(flow, chain_nodes, np.full(len(chain), SINK))
        self.free[starts] -= entries(flow, self.boxes + starts, np.full(len(starts), SINK))


def entries(matrix: csr_array, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the matrix's values at these positions."""
    if not len(rows):
        return np.zeros(0, dtype=np.int64)
    return np.asarray(matrix[rows, columns]).reshape(-1).astype(np.int64)


def _running(values: np.ndarray, starts: np.ndarray, segment: np.ndarray) -> np.ndarray:
    """Return the running sum within each segment, the value itself included."""
    total = np.cumsum(values)
    return total - (total[starts] - values[starts])[segment]


def _whole(values: np.ndarray, starts: np.ndarray, segment: np.ndarray) -> np.ndarray:
    """Round to integers so that each segment keeps its (floored) sum."""
    upto = np.floor(_running(values, starts, segment) + 1e-9)
    before = np.r_[0.0, upto[:-1]]
    before[starts] = 0.0
    return upto - before
