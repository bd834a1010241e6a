"""Places contacts that are due in several sequences: who waits may take a way that another contact can leave.

Classes are taken in order. At each, only mails of this and of earlier classes are open; who is served stays
served, and may change to another of its mails. A contact of a later class may have to give way: it is served
again at its own class if it can be. Contacts enter the network only where a search from a waiting contact
reaches them through full places.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from sequence_pipelines.planning.engine.array_ops import first_of_each, key_order, rank_in_group
from sequence_pipelines.planning.engine.candidate_state import CandidateState
from sequence_pipelines.planning.engine.capacity import UNBOUNDED
from sequence_pipelines.planning.engine.network import SINK, SOURCE, entries

NOBODY = -1
MOST_PASSES = 20  # of moving contacts to their more urgent mails


@dataclass(frozen=True)
class _Search:
    """What a search from waiting contacts reached."""

    seats: np.ndarray  # of each group: whether it is reached
    nodes: np.ndarray
    contacts: np.ndarray  # served ones in reached groups that have another way

    @property
    def finds_room(self) -> bool:
        return bool(self.nodes[SINK])


@dataclass(frozen=True)
class _Exchange:
    """Served contacts that may give way to waiting ones of other sequences, and how many of each sequence."""

    donors: np.ndarray
    sequence: np.ndarray  # of each contact: the one that it counts for
    takes: np.ndarray  # of each sequence: contacts
    gives: np.ndarray


def _ones(items: np.ndarray) -> np.ndarray:
    return np.ones(len(items), dtype=np.int64)


class Sharing:
    """Improves an allocation in which each contact was served by its most urgent candidate only."""

    def __init__(self, allocation: CandidateState, chosen: np.ndarray) -> None:
        self.allocation = allocation
        self.network = allocation.network
        self.groups = len(self.network.placed)
        position = np.empty(len(allocation.order), dtype=np.int64)
        position[allocation.order] = np.arange(len(allocation.order))
        self.position = position  # of each candidate in the order of service
        ways = np.flatnonzero(allocation.open)
        ways = ways[key_order(allocation.contact[ways], position[ways])]
        self.ways, self.contact = ways, allocation.contact[ways]
        self.group, self.class_of = allocation.group[ways], allocation.class_of[ways]
        count = np.bincount(self.contact, minlength=allocation.contact_count)
        self.begin = np.cumsum(count) - count
        self.end = self.begin + count
        self.best = np.full(allocation.contact_count, NOBODY, dtype=np.int64)
        self.best[allocation.contact[chosen]] = np.flatnonzero(chosen)
        self.serving = np.full(allocation.contact_count, NOBODY, dtype=np.int64)
        self.serving[allocation.contact[allocation.served]] = np.flatnonzero(allocation.served)
        known = self.best >= 0
        self.first_class = np.where(known, allocation.class_of[self.best], np.iinfo(np.int64).max)
        self.known = known
        self.firsts = self.network.first_groups

    def improve(self) -> None:
        """Serve as many as possible, class by class; then keep the fair share and the order."""
        if not self._waiting(np.iinfo(np.int64).max - 1).any():
            return
        self._serve_all_or_by_class()
        self._share_fairly()
        self._keep_order()
        self._prefer_urgent()
        served = self.serving[self.serving >= 0]
        self.allocation.served[:] = False
        self.allocation.served[served] = True

    def _waiting(self, at_most: int) -> np.ndarray:
        """Return the contacts that wait and have a way of a class up to `at_most`."""
        return self.known & (self.serving < 0) & (self.first_class <= at_most)

    # --- by class ---------------------------------------------------------------------------------

    def _serve_all_or_by_class(self) -> None:
        later = np.unique(self.class_of[self.ways != self.best[self.contact]])
        if len(later):
            last = int(self.allocation.class_of.max())
            self._serve_stages(np.arange(int(later[0]), last + 1))

    def _serve_stages(self, classes: np.ndarray) -> None:
        """Serve the waiting contacts class by class (ascending): all classes at once, or else halves of them.

        If everybody is served with the last class, nothing is left for the classes before it. If the last
        class opens no path, the others open none.
        """
        first, last = int(classes[0]), int(classes[-1])
        waiting = np.flatnonzero(self._waiting(last))
        if not len(waiting):
            return
        if not self._search(waiting, last, displace_above=first).finds_room:
            return
        if len(classes) == 1:
            self._serve_in_order(np.unique(self.first_class[waiting]), last)
            return
        before = self._state()
        self._fill_room(last)
        waiting = np.flatnonzero(self._waiting(last))
        while len(waiting):
            search = self._search(waiting, last)
            if not search.finds_room or not self._augment(waiting, last, search):
                break
            waiting = np.flatnonzero(self._waiting(last))
        if len(waiting):
            self._restore(before)
            middle = len(classes) // 2
            self._serve_stages(classes[:middle])
            self._serve_stages(classes[middle:])

    def _fill_room(self, number: int) -> None:
        """Serve waiting contacts by ways up to a class that have room; nobody else changes."""
        waits = self._waiting(number)
        some = np.flatnonzero(waits[self.contact] & (self.class_of <= number))
        for _ in range(MOST_PASSES):
            left = some[self.serving[self.contact[some]] < 0]
            if not len(self._take(left)):
                return

    def _take(self, ways: np.ndarray) -> np.ndarray:
        """Let contacts take the first of these ways (by contact) whose group has room; return those taken."""
        network = self.network
        opened = network.open_groups()
        opened[self.firsts] &= network.placed[self.firsts] < self.allocation.new_left
        ways = ways[opened[self.group[ways]]]
        if not len(ways):
            return ways
        ways = ways[np.r_[True, self.contact[ways][1:] != self.contact[ways][:-1]]]
        ways = ways[np.argsort(self.position[self.ways[ways]])]
        before = network.placed.copy()
        wanted = before + np.bincount(self.group[ways], minlength=self.groups)
        wanted[self.firsts] = np.minimum(wanted[self.firsts], self.allocation.new_left)
        network.place(wanted)
        taken = ways[first_of_each(self.group[ways], network.placed - before)]
        self.serving[self.contact[taken]] = self.ways[taken]
        return taken

    def _serve_in_order(self, classes: np.ndarray, number: int) -> None:
        """Serve waiting contacts of these classes (ascending): all at once, or else the first half first."""
        if not len(classes):
            return
        before = self._state()
        served = False
        while True:
            within = (self.first_class >= classes[0]) & (self.first_class <= classes[-1])
            waiting = np.flatnonzero(self._waiting(number) & within)
            search = self._search(waiting, number)
            if not search.finds_room or not self._augment(waiting, number, search):
                break
            served = True
        if len(waiting) and served and len(classes) > 1:
            self._restore(before)
            middle = len(classes) // 2
            self._serve_in_order(classes[:middle], number)
            self._serve_in_order(classes[middle:], number)

    def _state(self) -> tuple[np.ndarray, ...]:
        network = self.network
        fields = (
            network.free,
            network.first_free,
            network.first,
            network.moved,
            network.placed,
            self.serving,
        )
        return tuple(field.copy() for field in fields)

    def _restore(self, state: tuple[np.ndarray, ...]) -> None:
        network = self.network
        fields = (
            network.free,
            network.first_free,
            network.first,
            network.moved,
            network.placed,
            self.serving,
        )
        for field, value in zip(fields, state, strict=True):
            field[:] = value

    # --- the residual network ---------------------------------------------------------------------

    def _arcs(self, displace_above: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the arcs of places and of groups' seats, whose nodes come after the network's.

        Served contacts of classes after `displace_above` may give way; None: nobody may.
        """
        network = self.network
        tails, heads, sizes = network.arcs()
        seat = network.nodes + np.arange(self.groups)
        room = np.full(self.groups, UNBOUNDED, dtype=np.int64)
        room[self.firsts] = self.allocation.new_left - network.placed[self.firsts]
        parts = [(tails, heads, sizes), (seat, network.entry, room), (network.entry, seat, network.placed)]
        if displace_above is not None:
            served = self.serving[(self.serving >= 0) & (self.first_class > displace_above)]
            later = np.bincount(self.allocation.group[served], minlength=self.groups)
            parts.append((seat, np.full(self.groups, SINK), later))
        tails, heads, sizes = (np.concatenate(part) for part in zip(*parts, strict=True))
        keep = sizes > 0
        return tails[keep], heads[keep], np.minimum(sizes[keep], UNBOUNDED)

    def _open_ways(self, contacts: np.ndarray, number: int) -> np.ndarray:
        """Return the positions in `ways` of the contacts' ways up to a class."""
        count = self.end[contacts] - self.begin[contacts]
        first = np.repeat(self.begin[contacts], count)
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        ways = first + within
        return ways[self.class_of[ways] <= number]

    def _movable(self, number: int) -> np.ndarray:
        """Return the served contacts up to a class that have several ways, sorted by group."""
        several = (self.serving >= 0) & (self.first_class <= number) & (self.end - self.begin > 1)
        contacts = np.flatnonzero(several)
        return contacts[key_order(self.allocation.group[self.serving[contacts]])]

    def _search(
        self,
        waiting: np.ndarray,
        number: int,
        *,
        displace: bool = True,
        displace_above: int | None = None,
    ) -> _Search:
        """Return what the waiting contacts reach by ways up to a class.

        Served contacts of later classes (than `displace_above`, if given) may give way with `displace`.
        """
        above = number if displace_above is None else displace_above
        tails, heads, _ = self._arcs(above if displace else None)
        total = self.network.nodes + self.groups
        movable = self._movable(number)
        of = self.allocation.group[self.serving[movable]]
        starts = np.searchsorted(of, np.arange(self.groups + 1))
        reached = np.zeros(total, dtype=bool)
        contacts = [np.zeros(0, dtype=np.int64)]
        new = np.unique(self.group[self._open_ways(waiting, number)]) + self.network.nodes
        graph = csr_array((np.ones(len(tails), dtype=np.int8), (tails, heads)), shape=(total, total))
        while len(new):
            before = reached.copy()
            reached[self._reach(graph, new)] = True
            seats = np.flatnonzero((reached & ~before)[self.network.nodes :])
            count = starts[seats + 1] - starts[seats]
            within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
            here = movable[np.repeat(starts[seats], count) + within]
            contacts.append(here)
            groups = np.unique(self.group[self._open_ways(here, number)]) + self.network.nodes
            new = groups[~reached[groups]]
        return _Search(reached[self.network.nodes :], reached, np.concatenate(contacts))

    @staticmethod
    def _reach(graph: csr_array, nodes: np.ndarray) -> np.ndarray:
        """Return what these nodes reach."""
        total = graph.shape[0]
        indptr = np.r_[graph.indptr, graph.indptr[-1] + len(nodes)]
        indices = np.r_[graph.indices, nodes]
        extended = csr_array(
            (np.ones(len(indices), dtype=np.int8), indices, indptr), shape=(total + 1, total + 1)
        )
        found = breadth_first_order(extended, total, return_predecessors=False)
        return found[found < total]

    def _augment(
        self, waiting: np.ndarray, number: int, search: _Search, exchange: _Exchange | None = None
    ) -> bool:
        """Serve more of the waiting contacts by a maximum flow; return whether somebody was served.

        With `exchange`, as many change places with its donors.
        """
        network, allocation = self.network, self.allocation
        tails, heads, sizes = self._arcs(number if exchange is None else None)
        served = search.contacts if exchange is None else np.union1d(search.contacts, exchange.donors)
        people = np.r_[waiting, served]
        person = network.nodes + self.groups + np.arange(len(people))
        size = network.nodes + self.groups + len(people)
        waits, others = person[: len(waiting)], person[len(waiting) :]
        owner, ways = self._other_ways(people, number)
        target = network.nodes + self.group[ways]
        seat = network.nodes + allocation.group[self.serving[served]]
        parts = [(seat, others, _ones(served)), (person[owner], target, _ones(owner))]
        if exchange is None:
            parts += [(tails, heads, sizes), (np.full(len(waiting), SOURCE), waits, _ones(waiting))]
        else:
            kept = heads != SINK
            bounds = np.r_[exchange.takes, exchange.gives]  # a node a sequence that takes, and one that gives
            poor = size + exchange.sequence[waiting]
            rich = size + len(exchange.takes) + exchange.sequence[exchange.donors]
            gives = others[np.searchsorted(served, exchange.donors)]
            takers, givers = np.unique(poor), np.unique(rich)
            parts += [
                (tails[kept], heads[kept], sizes[kept]),
                (poor, waits, _ones(waiting)),
                (gives, rich, _ones(gives)),
                (np.full(len(takers), SOURCE), takers, bounds[takers - size]),
                (givers, np.full(len(givers), SINK), bounds[givers - size]),
            ]
            size += len(bounds)
        tails, heads, sizes = (np.concatenate(part) for part in zip(*parts, strict=True))
        arcs = csr_array((sizes.astype(np.int32), (tails, heads)), shape=(size, size))
        result = maximum_flow(arcs, SOURCE, SINK)
        if not result.flow_value:
            return False
        flow = result.flow
        network.apply(flow)
        displaced = entries(flow, network.nodes + np.arange(self.groups), np.full(self.groups, SINK))
        took = entries(flow, person[owner], target) > 0
        if exchange is not None:
            self.serving[exchange.donors[entries(flow, gives, rich) > 0]] = NOBODY
        self.serving[people[owner[took]]] = self.ways[ways[took]]
        if exchange is None:
            self._displace(displaced, number)
        now = self.serving[self.serving >= 0]
        network.placed[:] = np.bincount(allocation.group[now], minlength=self.groups)
        return True

    def _other_ways(self, people: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return owner (a position in people) and way of the ways up to a class that do not serve them."""
        count = self.end[people] - self.begin[people]
        first = np.repeat(self.begin[people], count)
        ways = first + np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        owner = np.repeat(np.arange(len(people)), count)
        other = (self.class_of[ways] <= number) & (self.ways[ways] != self.serving[people[owner]])
        return owner[other], ways[other]

    def _displace(self, counts: np.ndarray, number: int) -> None:
        """Let this many contacts of later classes give way in each group, the least urgent ones."""
        if not counts.any():
            return
        contacts = np.flatnonzero((self.serving >= 0) & (self.first_class > number))
        group = self.allocation.group[self.serving[contacts]]
        latest = key_order(group, -self.position[self.serving[contacts]])
        gone = latest[rank_in_group(group[latest]) < counts[group[latest]]]
        self.serving[contacts[gone]] = NOBODY

    # --- afterwards -------------------------------------------------------------------------------

    def _keep_order(self) -> None:
        """Within a group and class serve the most urgent: no count changes."""
        at_best = (self.serving < 0) | (self.serving == self.best)
        contacts = np.flatnonzero(self.known & at_best)
        candidate = self.best[contacts]
        pool = self.allocation.group[candidate] * (int(self.first_class[contacts].max(initial=0)) + 1)
        pool = np.unique(pool + self.first_class[contacts], return_inverse=True)[1]
        order = key_order(pool, self.position[candidate])
        count = np.bincount(pool, weights=self.serving[contacts] >= 0)
        chosen = np.empty(len(contacts), dtype=bool)
        chosen[order] = rank_in_group(pool[order]) < count[pool[order]]
        self.serving[contacts] = np.where(chosen, candidate, NOBODY)

    def _share_fairly(self) -> None:
        """Exchange first mails between sequences, within each class, until no exchange is fairer."""
        classes = np.flatnonzero(~self.allocation.class_names["follow_up"].to_numpy(bool)).tolist()
        while np.any([self._level(number) for number in classes]):
            pass

    def _level(self, number: int) -> bool:
        """Exchange first mails of a class from sequences with more to those with fewer, level by level.

        Return whether one was exchanged.
        """
        sequence = self.allocation.sequence[self.best]
        mine = self.known & (self.first_class == number)
        changed, level = False, -1
        while True:
            served = mine & (self.serving >= 0)
            counts = np.bincount(sequence[served], minlength=len(self.allocation.sequence_ids))
            counts = counts + self.allocation.begun
            waits = np.flatnonzero(mine & (self.serving < 0))
            higher = counts[sequence[waits]]
            level = int(higher[higher > level].min(initial=UNBOUNDED))
            rich = served & (counts[sequence] >= level + 2)
            if not rich.any():
                return changed
            changed |= self._exchange(waits[higher <= level], rich, level, counts, number)

    def _exchange(
        self, waiting: np.ndarray, rich: np.ndarray, level: int, counts: np.ndarray, number: int
    ) -> bool:
        """Let contacts of sequences above a level change places with waiting ones of the others.

        No sequence crosses the level after it. Return whether somebody changed.
        """
        search = self._search(waiting, number, displace=False)
        seats = np.r_[search.seats, False]
        donors = np.flatnonzero(rich & seats[self.allocation.group[self.serving]])
        if not len(donors):
            return False
        takes, gives = np.maximum(level + 1 - counts, 0), np.maximum(counts - level - 1, 0)
        sequence = self.allocation.sequence[self.best]
        changed = self._augment(waiting, number, search, _Exchange(donors, sequence, takes, gives))
        if changed:
            self._give_to_urgent(waiting, number)
        return changed

    def _give_to_urgent(self, contacts: np.ndarray, number: int) -> None:
        """Let those of the contacts that are served give way to waiting ones of the classes before theirs."""
        donors = contacts[self.serving[contacts] >= 0]
        urgent = np.flatnonzero(self._waiting(number - 1))
        for one in np.unique(self.first_class[urgent]):
            waiting = urgent[self.first_class[urgent] == one]
            search = self._search(waiting, number, displace=False)
            reached = donors[search.seats[self.allocation.group[self.serving[donors]]]]
            if len(reached):
                many = np.full(len(self.allocation.sequence_ids), len(reached))
                exchange = _Exchange(reached, self.allocation.sequence[self.best], many, many)
                self._augment(waiting, number, search, exchange)
                donors = donors[self.serving[donors] >= 0]

    def _prefer_urgent(self) -> None:
        """Give contacts the more urgent of their mails where that one has room of its own."""
        behind = (self.serving >= 0) & (self.serving != self.best)
        some = np.flatnonzero(behind[self.contact])  # ways, by contact and urgency
        for _ in range(MOST_PASSES):
            if not len(some) or not self._move_to_urgent(some):
                return

    def _move_to_urgent(self, some: np.ndarray) -> bool:
        """Move contacts to the most urgent of these ways that has room; return whether one moved."""
        serving = self.serving[self.contact[some]]
        urgent = some[self.position[self.ways[some]] < self.position[serving]]
        before = self.serving.copy()
        taken = self._take(urgent)
        left = self.allocation.group[before[self.contact[taken]]]
        self.network.reduce(self.network.placed - np.bincount(left, minlength=self.groups))
        return bool(len(taken))
