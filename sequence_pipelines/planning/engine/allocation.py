"""Assigns an open interval to each due candidate, or the reason why it waits; docs/planning.md has the proof.

Candidates of one group (see `network`) are interchangeable, so the problem is one of counts. The sets that
can be served together form a matroid. So the candidates are put into one order, from the most urgent on, and
each is kept that fits together with all kept before. Nearly always all fit, and one flow places them. If not,
the place in the order from which on they do not fit is found by bisection, for every part of the network on
its own: what a waiting candidate reaches (the source side of the cut) is full, and nothing outside can change
it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sequence_pipelines.planning.engine.array_ops import (
    all_differ,
    first_of_each,
    key_order,
    mixed,
    rank_in_group,
    ranked,
    ranks,
    stable_order,
)
from sequence_pipelines.planning.engine.capacity import UNBOUNDED
from sequence_pipelines.planning.engine.network import FINE, SINK, SOURCE, Intervals, Network, Regions
from sequence_pipelines.planning.engine.proof import MOST_OVERDUE, Cut, find_cuts
from sequence_pipelines.planning.engine.sharing import Sharing
from sequence_pipelines.planning.engine.ways import FIRST, MOVED, PINNED, Ways
from sequence_store.domain.states import Deferral

# The reasons that a sequence's mailboxes may give, ordered from "nothing to offer" to "a slot was left".
REASON_RANK = tuple(
    map(
        str,
        (
            Deferral.NO_MAILBOX,
            Deferral.MAILBOX_INACTIVE,
            Deferral.MAILBOX_MISCONFIGURED,
            Deferral.MAILBOX_PARKED,
            Deferral.WINDOW_CLOSED,
            Deferral.NO_CAPACITY,
            Deferral.MAX_FIRST_MAILS,
        ),
    )
)
NO_CAPACITY, MAX_FIRST_MAILS = REASON_RANK[-2:]
MAILBOX_PARKED, WINDOW_CLOSED = REASON_RANK[3], REASON_RANK[4]
ONE_MAIL_A_DAY, PINNED_MAILBOX_FULL, MAX_NEW_PER_DAY, LATER_TODAY = map(
    str,
    (
        Deferral.ONE_MAIL_A_DAY,
        Deferral.PINNED_MAILBOX_FULL,
        Deferral.MAX_NEW_PER_DAY,
        Deferral.LATER_TODAY,
    ),
)
REASONS = ("", ONE_MAIL_A_DAY, PINNED_MAILBOX_FULL, MAX_NEW_PER_DAY, LATER_TODAY, *REASON_RANK)
CODE_OF = {reason: code for code, reason in enumerate(REASONS)}  # those of REASON_RANK in its order


@dataclass(frozen=True)
class Allocation:
    """What allocate found: a row a candidate.

    `found` has mailbox_id (0: waits), interval (-1: waits), reason (empty: has a slot), turn and class.
    `find_cuts` computes the proof that no plan serves more.
    """

    found: pd.DataFrame
    find_cuts: Callable[[], list[Cut]]


def allocate(
    candidates: pd.DataFrame,
    ways: Ways,
    routes: pd.DataFrame,
    mailboxes: pd.DataFrame,
    intervals: pd.DataFrame,
    sequences: pd.DataFrame,
    day: int,
) -> Allocation:
    """Return the interval of each candidate, or why it waits, and its turn in the order of service.

    candidates   sequence_id, contact_id, follow_up (bool), pinned_mailbox_id (0: none), due_day and
                 waits_since (epoch days), overdue (days), priority; one row a (sequence, contact)
    ways         of the candidates, as find_ways returns them
    routes       sequence_id, mailbox_id: the sequence's mailboxes, also those that can take nothing
    mailboxes    mailbox_id, load, first_mails (that may still be added), state, parked (bool)
    intervals    the open intervals, sorted as `mailboxes` and by time: mailbox_id, send_day, capacity
    sequences    sequence_id, new_left (first mails that may still begin), begun (today already)
    day          the planning day, which the hashes depend on
    """
    return _Allocation(candidates, ways, routes, mailboxes, intervals, sequences, day).run()


class _Allocation:
    """The candidates in order, and what is assigned to them so far."""

    def __init__(
        self,
        candidates: pd.DataFrame,
        ways: Ways,
        routes: pd.DataFrame,
        mailboxes: pd.DataFrame,
        intervals: pd.DataFrame,
        sequences: pd.DataFrame,
        day: int,
    ) -> None:
        self.candidates, self.ways, self.mailboxes, self.day = candidates, ways, mailboxes, day
        self.intervals = intervals
        self.sequence, self.sequence_ids = ranked(candidates["sequence_id"].to_numpy())
        self.contact, self.contact_count = _contacts(candidates["contact_id"].to_numpy())
        self.follow_up = candidates["follow_up"].to_numpy(bool)
        self.by_mailbox = pd.Index(mailboxes["mailbox_id"].to_numpy())
        self.routes = routes[routes["sequence_id"].isin(self.sequence_ids)]
        known = sequences.set_index("sequence_id")[["new_left", "begun"]].reindex(self.sequence_ids)
        self.new_left = known["new_left"].fillna(UNBOUNDED).to_numpy(np.int64)
        self.begun = known["begun"].fillna(0).to_numpy(np.int64)
        self.network = self._network()
        self.class_of, self.class_names = _classes(candidates, self.follow_up)
        contact_hash = mixed(candidates["contact_id"].to_numpy(), day)
        due = ranks(candidates["waits_since"].to_numpy())
        self.order = key_order(self.class_of, due, contact_hash)
        self.group = self._groups()
        self.open = self._open()
        self.served = np.zeros(len(candidates), dtype=bool)

    def run(self) -> Allocation:
        chosen = self.choose()
        units = self.order[chosen[self.order]]
        self._serve(units)
        if self.contact_count < len(self.contact):
            Sharing(self, chosen).improve()
        interval = self._assign_intervals()
        mailbox_ids = np.zeros(len(self.candidates), dtype=np.int64)
        some = interval >= 0
        mailbox_ids[some] = self.intervals["mailbox_id"].to_numpy()[interval[some]]
        turn = np.empty(len(self.candidates), dtype=np.int64)
        turn[self.order] = np.arange(len(self.candidates))
        found = {
            "mailbox_id": mailbox_ids,
            "interval": interval,
            "reason": self._reasons(),
            "turn": turn,
            "class": self.class_of,
        }
        frame = pd.DataFrame(found, index=self.candidates.index, copy=False)
        return Allocation(frame, lambda: find_cuts(self))

    # --- the network ------------------------------------------------------------------------------

    def _network(self) -> Network:
        box = self.by_mailbox.get_indexer(pd.Index(self.intervals["mailbox_id"].to_numpy()))
        nodes = Intervals(box, self.intervals["capacity"].to_numpy(np.int64))
        capacity = np.bincount(box, weights=nodes.capacity, minlength=len(self.mailboxes)).astype(np.int64)
        where = self.by_mailbox.get_indexer(pd.Index(self.routes["mailbox_id"].to_numpy()))
        has_interval = np.bincount(box, minlength=len(self.mailboxes)) > 0
        offers = (where >= 0) & np.r_[has_interval, False][where]
        sequence = np.searchsorted(self.sequence_ids, self.routes["sequence_id"].to_numpy()[offers])
        mailbox = where[offers]
        in_order = key_order(sequence, mailbox)
        return Network(
            intervals=nodes,
            mailbox_total=self.mailboxes["load"].to_numpy(np.int64) + capacity,
            first_free=self.mailboxes["first_mails"].to_numpy(np.int64),
            sequence_count=len(self.sequence_ids),
            first_sequence=sequence[in_order],
            first_mailbox=mailbox[in_order],
            moved_count=self.ways.group_count,
            moved_group=self.ways.route_group,
            moved_interval=self.ways.route_interval,
        )

    def _groups(self) -> np.ndarray:
        """Return the number of each candidate's group in the network, or -1 if it has no way."""
        kind, network = self.ways.kind, self.network
        offered = np.bincount(network.first_sequence, minlength=network.sequence_count) > 0
        first = np.where(offered[self.sequence], network.first_groups.start + self.sequence, -1)
        moved = np.where(self.ways.moved_group >= 0, network.moved_groups.start + self.ways.moved_group, -1)
        group = np.where(kind == PINNED, self.ways.interval, np.where(kind == FIRST, first, moved))
        return np.where((kind == FIRST) & self.ways.mailed, -1, group)

    def _open(self) -> np.ndarray:
        """Return which candidates have a way of positive capacity."""
        groups = self.network.open_groups()
        groups[self.network.first_groups] &= self.new_left > 0
        return (self.group >= 0) & np.r_[groups, False][self.group]

    def most(self, counts: np.ndarray) -> np.ndarray:
        """Return how many of each group may be served, by max_new_per_day."""
        most = counts.copy()
        firsts = self.network.first_groups
        most[firsts] = np.minimum(most[firsts], self.new_left)
        return most

    # --- who is served ----------------------------------------------------------------------------

    def choose(self) -> np.ndarray:
        """Return which candidates are their contact's most urgent one among those with an open way."""
        if self.contact_count == len(self.contact):
            return self.open.copy()
        some = np.flatnonzero(self.open)
        pair = mixed(
            self.candidates["contact_id"].to_numpy()[some], self.candidates["sequence_id"].to_numpy()[some]
        )
        due = ranks(self.candidates["waits_since"].to_numpy()[some])
        order = some[key_order(self.class_of[some], due, pair)]
        _, first = np.unique(self.contact[order], return_index=True)
        chosen = np.zeros(len(self.open), dtype=bool)
        chosen[order[first]] = True
        return chosen

    def _serve(self, units: np.ndarray) -> None:
        """Place as many of the candidates as possible, the most urgent first; `units` are in order."""
        network, group = self.network, self.group[units]
        most = self.most(np.bincount(group, minlength=len(network.placed)))
        network.place(most)
        if (network.placed < most).any():
            rank = self._bisect(units, group, most)
            by_rank = np.argsort(rank, kind="stable")
        else:
            by_rank = np.arange(len(units))
        taken = first_of_each(group[by_rank], network.placed)
        self.served[units[by_rank[taken]]] = True

    def _ranks(self, units: np.ndarray) -> np.ndarray:
        """Return each unit's position in the order in which contacts are served.

        Follow-ups keep their order. First mails of a class are served by level: how many of the sequence's
        first mails come before it, those that the day has already given included; at one level by a hash of
        the sequence.
        """
        first = ~self.follow_up[units]
        level = np.arange(len(units))
        tie = np.zeros(len(units), dtype=np.int64)
        some = np.flatnonzero(first)
        sequence = self.sequence[units[some]]
        level[some] = rank_in_group(sequence) + self.begun[sequence]
        tie[some] = ranks(mixed(self.sequence_ids, self.day, bits=40))[sequence]
        rank = np.empty(len(units), dtype=np.int64)
        rank[key_order(self.class_of[units], level, tie)] = np.arange(len(units))
        return rank

    def _bisect(self, units: np.ndarray, group: np.ndarray, most: np.ndarray) -> np.ndarray:
        """Leave placed the best set by the order of service; return each unit's rank in that order."""
        network = self.network
        reached = network.reach(most)
        rank = self._ranks(units)
        upto = _Prefixes(group, rank, most)
        regions = Regions(
            np.full(network.nodes, -1),
            np.zeros(len(network.first_free), dtype=bool),
            np.zeros(len(network.free), dtype=bool),
        )
        reached[[SOURCE, SINK]] = False
        regions.split(network, reached, np.zeros(reached.sum(), dtype=np.int64))
        fits, last = np.array([-1]), np.array([len(units) - 2])  # of each region; all units do not fit
        while (fits < last).any():
            middle = (fits + last + 1) // 2
            wanted = self._wanted(upto, regions, middle)
            network.reduce(wanted, regions)
            network.augment(wanted, regions)
            reached = network.reach(wanted, regions)
            reached[[SOURCE, SINK]] = False
            parents, number = np.unique(regions.of_node[reached], return_inverse=True)
            regions.split(network, reached, len(fits) + number)
            fits, last = np.r_[middle, fits[parents]], np.r_[last, middle[parents] - 1]
        wanted = self._wanted(upto, regions, fits)
        network.reduce(wanted, regions)
        network.augment(wanted, regions)
        if (network.placed != wanted).any():
            raise AssertionError("the bisection's last set does not fit")
        return rank

    def _wanted(self, upto: _Prefixes, regions: Regions, rank: np.ndarray) -> np.ndarray:
        """Return how many of each group come up to its region's rank; what lies in no region stays."""
        where = regions.of_node[self.network.entry]
        wanted = self.network.placed.copy()
        some = np.flatnonzero(where >= 0)
        wanted[some] = upto.count(some, rank[where[some]])
        return wanted

    # --- which interval ---------------------------------------------------------------------------

    def _assign_intervals(self) -> np.ndarray:
        """Return each served candidate's interval, else -1.

        Within a mailbox follow-ups fill the earliest interval that they may use, first mails the rest.
        """
        network, nodes = self.network, self.network.intervals
        entry = np.full(len(self.served), -1, dtype=np.int64)
        pinned = np.flatnonzero(self.served & (self.ways.kind == PINNED))
        entry[pinned] = self.ways.interval[pinned]
        starts = network.start_of[network.first_mailbox]
        for kind, group, node, counts, offset in (
            (FIRST, network.first_sequence, starts, network.first, network.first_groups.start),
            (MOVED, network.moved_group, network.moved_interval, network.moved, network.moved_groups.start),
        ):
            members = self.order[(self.served & (self.ways.kind == kind))[self.order]]
            if not len(members):
                continue
            route = np.repeat(np.arange(len(counts)), counts)
            place = np.arange(len(route)) - np.repeat(np.cumsum(counts) - counts, counts)
            turn = (2 * place + 1) * (FINE // 2) // counts[route]
            in_turn = route[key_order(group[route], turn)]
            by_group = members[stable_order(self.group[members] - offset)]
            entry[by_group] = node[in_turn]
        if not (nodes.depth > 0).any():
            return entry
        return self._fill_in_time(entry)

    def _fill_in_time(self, entry: np.ndarray) -> np.ndarray:
        nodes = self.network.intervals
        some = self.order[entry[self.order] >= 0]
        some = np.r_[some[self.follow_up[some]], some[~self.follow_up[some]]]
        start, depth = nodes.start[entry[some]], nodes.depth[entry[some]]
        found = np.full(len(some), -1, dtype=np.int64)
        for level, at_level in enumerate(nodes.levels):
            exists = np.zeros(len(nodes.mailbox) + level, dtype=bool)
            exists[at_level] = True
            waits = np.flatnonzero((found < 0) & (depth <= level) & exists[start + level])
            node = start[waits] + level
            taken = waits[first_of_each(node, nodes.capacity)]
            found[taken] = start[taken] + level
        interval = np.full(len(entry), -1, dtype=np.int64)
        interval[some] = found
        return interval

    # --- why the others wait ----------------------------------------------------------------------

    def _reasons(self) -> pd.Categorical[str]:
        """Return why each candidate waits; empty if it has a slot."""
        codes = np.zeros(len(self.served), dtype=np.int8)
        waits = np.flatnonzero(~self.served)
        if len(waits):
            codes[waits] = self._reason_codes(waits)
        return pd.Categorical.from_codes(codes, categories=pd.Index(REASONS))

    def _reason_codes(self, waits: np.ndarray) -> np.ndarray:
        """Return the position in REASONS of why each of these candidates waits."""
        contact_served = np.zeros(self.contact_count, dtype=bool)
        contact_served[self.contact[self.served]] = True
        again = contact_served[self.contact[waits]] | self.ways.mailed[waits]
        codes = np.full(len(waits), CODE_OF[ONE_MAIL_A_DAY], dtype=np.int8)
        rest = np.flatnonzero(~again)
        some = waits[rest]
        if not len(some):
            return codes
        kind, has_way = self.ways.kind[some], self.group[some] >= 0
        routes_reason = self._routes_reason(some)
        follow_up_full = np.where(
            self.ways.comes_again[some],
            CODE_OF[LATER_TODAY],
            np.where(kind == PINNED, CODE_OF[PINNED_MAILBOX_FULL], CODE_OF[NO_CAPACITY]),
        )
        sequence = self.sequence[some]
        codes[rest] = np.select(
            [
                (kind != FIRST) & has_way,
                kind == PINNED,
                kind == MOVED,
                self.new_left[sequence] <= self._begun_now()[sequence],
            ],
            [
                follow_up_full,
                self._pinned_reason(some),
                self._closed(routes_reason),
                np.full(len(some), CODE_OF[MAX_NEW_PER_DAY]),
            ],
            default=routes_reason,
        )
        return codes

    def _begun_now(self) -> np.ndarray:
        return self.network.placed[self.network.first_groups]

    @staticmethod
    def _closed(codes: np.ndarray) -> np.ndarray:
        """Return the reason of a follow-up that may use none of its routes' open intervals."""
        full = np.isin(codes, (CODE_OF[NO_CAPACITY], CODE_OF[MAX_FIRST_MAILS]))
        return np.where(full, CODE_OF[WINDOW_CLOSED], codes)

    def _states(self) -> np.ndarray:
        """Return the position in REASONS of each mailbox's state."""
        return pd.Index(REASONS).get_indexer(pd.Index(self.mailboxes["state"].astype(object)))

    def _pinned_reason(self, waits: np.ndarray) -> np.ndarray:
        """Return why the pinned mailbox has no interval that the follow-up may use."""
        if not len(self.mailboxes):
            return np.zeros(len(waits), dtype=np.int64)
        at = self.by_mailbox.get_indexer(pd.Index(self.candidates["pinned_mailbox_id"].to_numpy()[waits]))
        state = self._states()
        parked = self.mailboxes["parked"].to_numpy(bool)
        shut = np.where(parked, CODE_OF[MAILBOX_PARKED], CODE_OF[WINDOW_CLOSED])
        return np.where(state == 0, shut, state)[np.maximum(at, 0)]

    def _routes_reason(self, waits: np.ndarray) -> np.ndarray:
        """Return the reason of the waiting candidate's mailbox that comes nearest to a slot, by REASON_RANK.

        A candidate with several mailboxes has several reasons; the last one in REASON_RANK is what a person
        would change first. A mailbox with capacity left was closed to first mails only (`max_first_mails`).
        """
        network = self.network
        where = self.by_mailbox.get_indexer(pd.Index(self.routes["mailbox_id"].to_numpy()))
        sequence = np.searchsorted(self.sequence_ids, self.routes["sequence_id"].to_numpy(np.int64))
        free = np.zeros(len(self.mailboxes), dtype=np.int64)
        some = np.flatnonzero(network.start_of >= 0)
        free[some] = network.free[network.start_of[some]]
        state = self._states()
        spare = np.where(free > 0, CODE_OF[MAX_FIRST_MAILS], CODE_OF[NO_CAPACITY])
        code = np.where(state == 0, spare, state)
        best = np.full(len(self.sequence_ids), CODE_OF[REASON_RANK[0]], dtype=np.int64)
        np.maximum.at(best, sequence, code[where] if len(where) else np.zeros(0, dtype=np.int64))
        return best[self.sequence[waits]]


class _Prefixes:
    """Counts the units of each group up to a rank."""

    def __init__(self, group: np.ndarray, rank: np.ndarray, most: np.ndarray) -> None:
        self.stride = len(rank) + 1
        self.keys = np.sort(group * self.stride + rank)
        self.starts = np.searchsorted(self.keys, np.arange(len(most)) * self.stride)
        self.most = most

    def count(self, groups: np.ndarray, rank: np.ndarray) -> np.ndarray:
        """Return how many units of each group have at most this rank, within the group's bound."""
        upto = np.searchsorted(self.keys, groups * self.stride + rank, side="right") - self.starts[groups]
        return np.minimum(upto, self.most[groups])


def _classes(candidates: pd.DataFrame, follow_up: np.ndarray) -> tuple[np.ndarray, pd.DataFrame]:
    """Return each candidate's class, 0 first, and each class's priority, follow_up and overdue.

    `overdue` is -1 for first mails. The larger priority comes first, then follow-ups, of these the
    longer overdue.
    """
    priority = -candidates["priority"].to_numpy(np.int64)
    overdue = np.clip(candidates["overdue"].to_numpy(np.int64), 0, MOST_OVERDUE)
    within = np.where(follow_up, MOST_OVERDUE - overdue, MOST_OVERDUE + 1)
    place, priorities = ranked(priority)
    packed = place * (MOST_OVERDUE + 2) + within
    class_of, classes = ranked(packed)
    within = classes % (MOST_OVERDUE + 2)
    names = pd.DataFrame(
        {
            "priority": -np.asarray(priorities)[classes // (MOST_OVERDUE + 2)],
            "follow_up": within <= MOST_OVERDUE,
            "overdue": MOST_OVERDUE - within,
        }
    )
    return class_of, names


def _contacts(contact_ids: np.ndarray) -> tuple[np.ndarray, int]:
    """Return each candidate's contact as a number from 0, and the number of contacts."""
    if all_differ(contact_ids):  # each contact has one candidate: no table is needed
        return np.arange(len(contact_ids)), len(contact_ids)
    codes, contacts = pd.factorize(contact_ids)
    return codes, len(contacts)
