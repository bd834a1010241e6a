"""Assigns a mailbox to each due candidate, or the reason why it waits; the result is optimal.

Candidates of one sequence and class that are not pinned to a mailbox are interchangeable, so the problem is
one of counts: how many of each sequence go to each mailbox. The sets that can be served together form a
matroid (a gammoid: the bounds of sequences and mailboxes are nested). So the classes are taken in order of
priority, and of each class as many are placed as a maximum flow allows without dropping one that was placed
before. The plan is then the largest possible, and of the largest ones the best by priority. Level filling
places most of a class and balances the load; augmenting paths place the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from sequence_pipelines.planning.engine.array_ops import (
    all_differ,
    first_of_each,
    key_order,
    rank_in_group,
    ranked,
    ranks,
    stable_order,
)
from sequence_pipelines.planning.engine.capacity import UNBOUNDED
from sequence_store.domain.states import Deferral

OLDEST_DISTINGUISHED = 15  # days overdue; candidates that are overdue for longer are in one class
Kind = Literal["first", "moved", "pinned"]  # first mails, follow-ups without their mailbox, follow-ups
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
ONE_MAIL_A_DAY, PINNED_MAILBOX_FULL, MAX_NEW_PER_DAY = map(
    str, (Deferral.ONE_MAIL_A_DAY, Deferral.PINNED_MAILBOX_FULL, Deferral.MAX_NEW_PER_DAY)
)
REASONS = ("", ONE_MAIL_A_DAY, PINNED_MAILBOX_FULL, MAX_NEW_PER_DAY, *REASON_RANK)
FINE = 2**30  # fractions are ordered as integers of this many parts
ROUNDS = 4  # of level filling; each round places its share of the rest, so that mailboxes fill evenly


@dataclass(frozen=True)
class MailboxCapacity:
    """What each mailbox can take today, one entry a mailbox; `load` and `capacity` in mails.

    `first_mails` bounds the first mails that may still be added (UNBOUNDED: no bound). `state` is the
    deferral reason of a mailbox that can take nothing, or empty.
    """

    mailbox_ids: np.ndarray
    load: np.ndarray
    capacity: np.ndarray
    first_mails: np.ndarray
    state: np.ndarray


@dataclass
class Flow:
    """The counts so far: free slots of each mailbox, first mails and moved follow-ups of each route."""

    mailbox_capacity: MailboxCapacity
    sequences: np.ndarray  # of each route, as an index into the sequences
    mailboxes: np.ndarray  # of each route, as an index into mailbox_capacity
    sequence_count: int
    free: np.ndarray = field(init=False)
    first_free: np.ndarray = field(init=False)
    first: np.ndarray = field(init=False)
    moved: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.free = self.mailbox_capacity.capacity.astype(np.int64).copy()
        self.first_free = self.mailbox_capacity.first_mails.astype(np.int64).copy()
        self.first = np.zeros(len(self.sequences), dtype=np.int64)
        self.moved = np.zeros(len(self.sequences), dtype=np.int64)

    def assign_pinned(self, wanted: np.ndarray) -> np.ndarray:
        """Place up to `wanted` follow-ups in each mailbox; return how many were placed.

        The augmenting paths may move candidates that are not pinned to other mailboxes.
        """
        placed = np.minimum(wanted, self.free)
        self.free -= placed
        if (short := wanted - placed).any() and (self.first.any() or self.moved.any()):
            placed = placed + self._augment("pinned", short)
        return placed

    def assign_free(self, wanted: np.ndarray, *, first_mails: bool) -> np.ndarray:
        """Place up to `wanted` candidates of each sequence on its routes; return how many were placed."""
        before = self._served(first_mails=first_mails)
        self._fill_levels(wanted.astype(np.int64), first_mails=first_mails)
        placed = self._served(first_mails=first_mails) - before
        short = wanted - placed
        if short.any():
            placed = placed + self._augment("first" if first_mails else "moved", short)
        return placed

    def _served(self, *, first_mails: bool) -> np.ndarray:
        counts = self.first if first_mails else self.moved
        return np.bincount(self.sequences, weights=counts, minlength=self.sequence_count).astype(np.int64)

    def _fill_levels(self, left: np.ndarray, *, first_mails: bool) -> None:
        """Place each sequence's candidates in its emptiest mailboxes, all sequences at once."""
        for rounds_left in range(ROUNDS, 0, -1):
            bound = np.minimum(self.free, self.first_free) if first_mails else self.free
            routes = np.flatnonzero((left[self.sequences] > 0) & (bound[self.mailboxes] > 0))
            if not len(routes):
                return
            share = -(-left // rounds_left)
            given = self._pour(routes, share, bound)
            counts = self.first if first_mails else self.moved
            counts[routes] += given
            self._take(routes, given, first_mails=first_mails)
            left = left - np.bincount(
                self.sequences[routes], weights=given, minlength=self.sequence_count
            ).astype(np.int64)

    def _take(self, routes: np.ndarray, given: np.ndarray, *, first_mails: bool) -> None:
        taken = np.bincount(self.mailboxes[routes], weights=given, minlength=len(self.free)).astype(np.int64)
        self.free -= taken
        if first_mails:
            self.first_free -= taken

    def _pour(self, routes: np.ndarray, share: np.ndarray, bound: np.ndarray) -> np.ndarray:
        """Return how many of its sequence's share each of `routes` takes, within the mailboxes' bounds.

        Water filling: a mailbox's level is its used part, and a sequence's share raises its emptiest
        mailboxes to one common level.
        """
        total = (self.mailbox_capacity.load + self.mailbox_capacity.capacity).astype(np.float64)
        level = (total - self.free) / np.maximum(total, 1)
        sequence, mailbox = self.sequences[routes], self.mailboxes[routes]
        order = key_order(sequence, (level[mailbox] * FINE).astype(np.int64))
        sequence, mailbox = sequence[order], mailbox[order]
        starts = np.flatnonzero(np.r_[True, sequence[1:] != sequence[:-1]])
        segment = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(sequence)]))
        size, used = total[mailbox], (total - self.free)[mailbox]
        # A mailbox is wet if all emptier ones can be filled to its level without using up the share.
        needed = level[mailbox] * _running(size, starts, segment) - _running(used, starts, segment)
        wet = needed < share[sequence]
        wet_size = np.add.reduceat(np.where(wet, size, 0), starts)
        wet_used = np.add.reduceat(np.where(wet, used, 0), starts)
        height = (share[sequence[starts]] + wet_used) / np.maximum(wet_size, 1)
        poured = np.where(wet, np.clip(height[segment] * size - used, 0, bound[mailbox]), 0.0)
        whole = _whole(poured, starts, segment)
        demand = np.bincount(mailbox, weights=whole, minlength=len(bound))
        scale = np.minimum(1.0, bound / np.maximum(demand, 1))
        given = np.empty(len(routes), dtype=np.int64)
        given[order] = np.floor(whole * scale[mailbox] + 1e-9)
        return given

    def _augment(self, kind: Kind, wanted: np.ndarray) -> np.ndarray:
        """Place as many more as a maximum flow through the residual network can; return them by source.

        Nodes: source, sink, each sequence's first mails, its moved follow-ups, each mailbox's first mails,
        each mailbox. A candidate placed before may move to another mailbox and is never dropped: no edge
        leads back to the source.
        """
        s, m = self.sequence_count, len(self.free)
        firsts, moves, gates, boxes = 2, 2 + s, 2 + 2 * s, 2 + 2 * s + m
        entry = {"first": firsts, "moved": moves, "pinned": boxes}[kind]
        targets = np.flatnonzero(wanted)
        each = np.arange(m)
        through_gate = np.bincount(self.mailboxes, weights=self.first, minlength=m).astype(np.int64)
        edges = [
            (np.zeros(len(targets), dtype=np.int64), entry + targets, wanted[targets]),
            (firsts + self.sequences, gates + self.mailboxes, np.full(len(self.first), UNBOUNDED)),
            (gates + self.mailboxes, firsts + self.sequences, self.first),
            (moves + self.sequences, boxes + self.mailboxes, np.full(len(self.moved), UNBOUNDED)),
            (boxes + self.mailboxes, moves + self.sequences, self.moved),
            (gates + each, boxes + each, np.minimum(self.first_free, UNBOUNDED)),
            (boxes + each, gates + each, through_gate),
            (boxes + each, np.ones(m, dtype=np.int64), np.minimum(self.free, UNBOUNDED)),
        ]
        tails, heads, sizes = (np.concatenate(parts) for parts in zip(*edges, strict=True))
        some = sizes > 0
        nodes = boxes + m
        network = csr_array((sizes[some].astype(np.int32), (tails[some], heads[some])), shape=(nodes, nodes))
        result = maximum_flow(network, 0, 1)
        if result.flow_value == 0:
            return np.zeros(len(wanted), dtype=np.int64)
        flow = result.flow
        self.first += _entries(flow, firsts + self.sequences, gates + self.mailboxes)
        self.moved += _entries(flow, moves + self.sequences, boxes + self.mailboxes)
        self.first_free -= _entries(flow, gates + each, boxes + each)
        self.free -= _entries(flow, boxes + each, np.ones(m, dtype=np.int64))
        placed = np.zeros(len(wanted), dtype=np.int64)
        placed[targets] = _entries(flow, np.zeros(len(targets), dtype=np.int64), entry + targets)
        return placed


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


def _entries(matrix: csr_array, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return (
        np.asarray(matrix[rows, columns]).reshape(-1).astype(np.int64) if len(rows) else np.zeros(0, np.int64)
    )


def allocate(
    candidates: pd.DataFrame, routes: pd.DataFrame, mailbox_capacity: pd.DataFrame, new_left: pd.DataFrame
) -> pd.DataFrame:
    """Return mailbox_id (0: waits), reason (empty: has a slot) and turn (order of service) by candidate.

    candidates   sequence_id, contact_id, step_number, follow_up (bool), pinned_mailbox_id (0: none),
                 due_day, overdue (days), priority; one row a (sequence, contact)
    routes       sequence_id, mailbox_id: the sequence's mailboxes, also those that can take nothing
    mailbox_capacity   mailbox_id, load, capacity, first_mails, state
    new_left     sequence_id, new_left: first mails that the sequence may still begin today

    A contact gets one mail: its most urgent candidate enters the first pass. If that one gets no slot, the
    contact's next candidate enters another pass over the remaining capacity.
    """
    allocation = _Allocation(candidates, routes, mailbox_capacity, new_left)
    while len(standing := allocation.next_candidates()):
        allocation.serve(standing)
    allocation.assign_routes()
    turn = np.empty(len(candidates), dtype=np.int64)
    turn[allocation.order] = np.arange(len(candidates))
    found = {"mailbox_id": allocation.mailbox_ids, "reason": allocation.reasons(), "turn": turn}
    return pd.DataFrame(found, index=candidates.index, copy=False)


class _Allocation:
    """The candidates in order of priority, and the mailboxes assigned to them so far."""

    def __init__(
        self,
        candidates: pd.DataFrame,
        routes: pd.DataFrame,
        mailbox_capacity: pd.DataFrame,
        new_left: pd.DataFrame,
    ) -> None:
        self.sequence, self.sequence_ids = ranked(candidates["sequence_id"].to_numpy())
        self.contact, self.contact_count = _contacts(candidates["contact_id"].to_numpy())
        self.follow_up = candidates["follow_up"].to_numpy(bool)
        self.mailbox_capacity = MailboxCapacity(
            *(
                mailbox_capacity[column].to_numpy()
                for column in ("mailbox_id", "load", "capacity", "first_mails", "state")
            )
        )
        self.by_mailbox = pd.Index(self.mailbox_capacity.mailbox_ids)
        self.pinned = self.by_mailbox.get_indexer(pd.Index(candidates["pinned_mailbox_id"].to_numpy()))
        self.routes = routes[routes["sequence_id"].isin(self.sequence_ids)]
        offering = self._offering_routes()
        self.flow = Flow(
            self.mailbox_capacity,
            np.searchsorted(self.sequence_ids, offering["sequence_id"].to_numpy(np.int64)),
            self.by_mailbox.get_indexer(pd.Index(offering["mailbox_id"])),
            len(self.sequence_ids),
        )
        left = new_left.set_index("sequence_id")["new_left"].reindex(self.sequence_ids)
        self.new_left = left.fillna(UNBOUNDED).to_numpy(np.int64)
        self.class_of = _classes(candidates, self.follow_up)
        self.order = self._order(candidates)
        self.tried = np.zeros(len(candidates), dtype=bool)
        self.served = np.zeros(len(candidates), dtype=bool)
        self.contact_served = np.zeros(self.contact_count, dtype=bool)
        self.mailbox_ids = np.zeros(len(candidates), dtype=np.int64)

    def _offering_routes(self) -> pd.DataFrame:
        where = self.by_mailbox.get_indexer(pd.Index(self.routes["mailbox_id"]))
        offers = (where >= 0) & (self.mailbox_capacity.capacity[where] > 0)
        return self.routes[offers].sort_values(["sequence_id", "mailbox_id"])

    def _order(self, candidates: pd.DataFrame) -> np.ndarray:
        """Return the order of service: by class, then longer overdue, then sequence, step and contact."""
        order = key_order(self.sequence, candidates["step_number"], candidates["contact_id"])
        for codes in (ranks(candidates["due_day"].to_numpy()), self.class_of):
            order = order[stable_order(codes[order])]
        return order

    def next_candidates(self) -> np.ndarray:
        """Return the most urgent untried candidate of each contact without a mail, in order of priority."""
        if self.contact_count == len(self.contact):  # each contact has one candidate
            return self.order[~self.tried[self.order]]
        open_ = self.order[~self.tried[self.order] & ~self.contact_served[self.contact[self.order]]]
        _, first = np.unique(self.contact[open_], return_index=True)
        return open_[np.sort(first)]

    def serve(self, standing: np.ndarray) -> None:
        """Place as many of the candidates as possible, class by class; `standing` is in order of priority."""
        self.tried[standing] = True
        bounds = np.flatnonzero(np.r_[True, np.diff(self.class_of[standing]) > 0, True])
        for begin, end in pairwise(bounds):
            self._serve_class(standing[begin:end])
        self.contact_served[self.contact[standing[self.served[standing]]]] = True

    def _serve_class(self, members: np.ndarray) -> None:
        pinned = self.pinned[members]
        held = members[pinned >= 0]
        if len(held):
            groups = self.pinned[held]
            chosen = held[
                first_of_each(
                    groups,
                    self.flow.assign_pinned(np.bincount(groups, minlength=len(self.mailbox_capacity.load))),
                )
            ]
            self.served[chosen] = True
            self.mailbox_ids[chosen] = self.mailbox_capacity.mailbox_ids[self.pinned[chosen]]
        free = members[pinned < 0]
        for first_mails in (False, True):
            kind = free[self.follow_up[free] != first_mails]
            if len(kind):
                self._serve_free(kind, first_mails=first_mails)

    def _serve_free(self, members: np.ndarray, *, first_mails: bool) -> None:
        sequence = self.sequence[members]
        wanted = np.bincount(sequence, minlength=len(self.sequence_ids))
        if first_mails:
            wanted = np.minimum(wanted, self.new_left)
        placed = self.flow.assign_free(wanted, first_mails=first_mails)
        if first_mails:
            self.new_left = self.new_left - placed
        self.served[members[first_of_each(sequence, placed)]] = True

    def assign_routes(self) -> None:
        """Assign a mailbox to each served candidate that is not pinned: the sequence's mailboxes in turn."""
        served = self.order[self.served[self.order] & (self.pinned[self.order] < 0)]
        for first_mails, counts in ((True, self.flow.first), (False, self.flow.moved)):
            members = served[self.follow_up[served] != first_mails]
            route = np.repeat(np.arange(len(counts)), counts)
            turn = (2 * rank_in_group(route) + 1) * (FINE // 2) // np.maximum(counts[route], 1)
            in_turn = route[key_order(self.flow.sequences[route], turn)]
            by_sequence = members[stable_order(self.sequence[members])]
            self.mailbox_ids[by_sequence] = self.mailbox_capacity.mailbox_ids[self.flow.mailboxes[in_turn]]

    def reasons(self) -> pd.Categorical[str]:
        """Return why each candidate waits; empty if it has a slot."""
        codes = np.zeros(len(self.served), dtype=np.int8)
        waits = np.flatnonzero(~self.served)
        reasons = np.select(
            [
                self.contact_served[self.contact[waits]],
                self.pinned[waits] >= 0,
                ~self.follow_up[waits] & (self.new_left[self.sequence[waits]] <= 0),
            ],
            [ONE_MAIL_A_DAY, self._pinned_reason(waits), MAX_NEW_PER_DAY],
            default=self._routes_reason(waits),
        )
        codes[waits] = pd.Index(REASONS).get_indexer(pd.Index(reasons.astype(object)))
        return pd.Categorical.from_codes(codes, categories=pd.Index(REASONS))

    def _pinned_reason(self, waits: np.ndarray) -> np.ndarray:
        if not len(self.mailbox_capacity.state):
            return np.full(len(waits), "")
        state = self.mailbox_capacity.state[np.maximum(self.pinned[waits], 0)]
        return np.where(state == "", PINNED_MAILBOX_FULL, state)

    def _routes_reason(self, waits: np.ndarray) -> np.ndarray:
        """Return the reason of the waiting candidate's mailbox that comes nearest to a slot, by REASON_RANK.

        A candidate with several mailboxes has several reasons; the last one in REASON_RANK is what a person
        would change first. A mailbox with capacity left was closed to first mails only (`max_first_mails`).
        """
        where = self.by_mailbox.get_indexer(pd.Index(self.routes["mailbox_id"]))
        sequence = np.searchsorted(self.sequence_ids, self.routes["sequence_id"].to_numpy(np.int64))
        state = (
            self.mailbox_capacity.state[where]
            if len(self.mailbox_capacity.state)
            else np.zeros(0, dtype=object)
        )
        is_open = state == ""
        spare = is_open & (self.flow.free[where] > 0) if len(where) else is_open
        rank = np.select(
            [spare, is_open],
            [REASON_RANK.index(MAX_FIRST_MAILS), REASON_RANK.index(NO_CAPACITY)],
            default=pd.Index(REASON_RANK).get_indexer(pd.Index(state)),
        )
        best = np.zeros(len(self.sequence_ids), dtype=np.int64)
        np.maximum.at(best, sequence, rank)
        nearest = np.array(REASON_RANK)[best[self.sequence[waits]]]
        return np.where((nearest == MAX_FIRST_MAILS) & self.follow_up[waits], NO_CAPACITY, nearest)


def _classes(candidates: pd.DataFrame, follow_up: np.ndarray) -> np.ndarray:
    """Return each candidate's class; 0 is served first.

    Follow-ups come before first mails, higher steps before lower ones, then the longer overdue (in days),
    then the sequence's priority. The four ranks are packed into one number, which is ranked.
    """
    step = ranks(-candidates["step_number"].to_numpy(np.int64))
    fresh = OLDEST_DISTINGUISHED - np.clip(candidates["overdue"].to_numpy(), 0, OLDEST_DISTINGUISHED)
    priority = ranks(-candidates["priority"].to_numpy(np.int64))
    step[~follow_up] += step.max(initial=0) + 1
    packed = step
    for finer, most in ((fresh, OLDEST_DISTINGUISHED), (priority, priority.max(initial=0))):
        packed *= most + 1
        packed += finer
    return ranks(packed)


def _contacts(contact_ids: np.ndarray) -> tuple[np.ndarray, int]:
    """Return each candidate's contact as a number from 0, and the number of contacts."""
    if all_differ(contact_ids):  # each contact has one candidate: no table is needed
        return np.arange(len(contact_ids)), len(contact_ids)
    codes, contacts = pd.factorize(contact_ids)
    return codes, len(contacts)
