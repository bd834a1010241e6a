"""Measures the assignment on hard inputs: planned ÷ maximum flow, and how evenly mailboxes are used."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from bench import instance
from sequence_pipelines.planning.engine.allocation import allocate
from sequence_pipelines.planning.engine.capacity import UNBOUNDED
from sequence_pipelines.planning.engine.ways import FIRST, PINNED, Ways

SEQUENCES, MAILBOXES, LIMIT = 500, 1000, 100


class Shape(NamedTuple):
    """One input: due contacts as a share of the capacity, and `fewest` to `most` mailboxes per sequence.

    `sigma` is of the log-normal sizes of sequences. `hot` mailboxes belong to more sequences. `pinned` is the
    share of follow-ups, which keep their mailbox.
    """

    load: float
    fewest: int
    most: int
    sigma: float
    hot: bool
    pinned: float = 2 / 3


SHAPES = [
    Shape(0.6, 5, 5, 0.5, hot=False),
    Shape(0.9, 5, 5, 0.5, hot=False),
    Shape(1.2, 5, 5, 0.5, hot=False),
    Shape(0.9, 2, 2, 0.5, hot=False),
    Shape(0.9, 1, 8, 0.5, hot=True),
    Shape(1.2, 1, 5, 1.0, hot=True),
    Shape(1.2, 1, 5, 1.0, hot=True, pinned=0.95),
]


def run_at_scale(due: int) -> None:
    """Assign mailboxes to `due` contacts of a generated team, and print the maximum flow."""
    candidates, routes, mailbox_capacity, new_left = large_team(np.random.default_rng(1), due)
    found, spent = _assign(candidates, routes, mailbox_capacity, new_left)
    planned = int((found["mailbox_id"] > 0).sum())
    print(
        f"{due:,} due: planned {planned:,} of a maximum flow of"
        f" {optimum(candidates, routes, mailbox_capacity):,},"
        f" spread {spread(found, routes, mailbox_capacity):.3f}; mailboxes assigned in {spent:.2f} s"
    )


def _assign(
    candidates: pd.DataFrame, routes: pd.DataFrame, mailbox_capacity: pd.DataFrame, new_left: pd.DataFrame
) -> tuple[pd.DataFrame, float]:
    """Allocate with one open interval a mailbox; return what was found, and the seconds."""
    none = np.zeros(0, dtype=np.int64)
    follow_up, pinned = candidates["follow_up"].to_numpy(bool), candidates["pinned_mailbox_id"].to_numpy()
    entry = np.where(follow_up, pd.Index(mailbox_capacity["mailbox_id"]).get_indexer(pd.Index(pinned)), -1)
    shut = np.zeros(len(candidates), dtype=bool)
    ways = Ways(
        np.where(follow_up, PINNED, FIRST), entry, np.full(len(candidates), -1), none, none, shut, shut
    )
    intervals = mailbox_capacity[["mailbox_id", "capacity"]].assign(send_day=20_000)
    mailboxes, sequences = mailbox_capacity.assign(parked=False), new_left.assign(begun=0)
    began = time.perf_counter()
    found = allocate(candidates, ways, routes, mailboxes, intervals, sequences, 20_000).found
    return found, time.perf_counter() - began


def run_scale(due: int) -> None:
    """Print what many priorities, many small sequences and contacts in three sequences cost, as ratios."""
    rng = np.random.default_rng(1)
    plain = large_team(rng, due)
    base = min(_assign(*plain)[1] for _ in range(3))
    print(f"{due:,} due: plain {base:.2f} s")
    candidates, *rest = plain
    many = candidates.assign(priority=candidates["sequence_id"] % 500)
    spent = min(_assign(many, *rest)[1] for _ in range(3))
    print(f"  500 priorities: {spent:.2f} s, {spent / base:.2f} x one")
    few = _assign(*_small_sequences(rng, 5_000))[1]
    most = _assign(*_small_sequences(rng, 50_000))[1]
    print(f"  sequences of 10: 50,000 {most:.2f} s, {most / few:.1f} x 5,000 ({few:.2f} s)")
    found, spent = _assign(*_three_sequences_each(rng, due))
    served = int((found["mailbox_id"] > 0).sum())
    print(f"  three sequences each, 90 % load: {spent:.2f} s, {spent / base:.2f} x plain, {served:,} served")


def _small_sequences(
    rng: np.random.Generator, sequences: int
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return first mails of sequences of ten contacts, with five mailboxes each, at 90 % load."""
    own = instance.routes_of(rng, sequences, max(10, sequences // 100))
    sequence = np.repeat(np.arange(sequences), 10)
    none = np.zeros(len(sequence), dtype=np.int64)
    each = np.repeat(np.arange(sequences) + 1, own.shape[1])
    mailboxes = max(10, sequences // 100)
    return (
        _candidates(sequence + 1, none > 0, none, none, none),
        pd.DataFrame({"sequence_id": each, "mailbox_id": own.ravel()}),
        *_empty(mailboxes, round(len(sequence) / 0.9 / mailboxes), sequences),
    )


def _three_sequences_each(
    rng: np.random.Generator, contacts: int
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return contacts that are due in three random sequences each, at 90 % load."""
    candidates, routes, _, new_left = large_team(rng, 3 * contacts)
    candidates = candidates.assign(contact_id=rng.permutation(len(candidates)) // 3)
    candidates = candidates.drop_duplicates(["sequence_id", "contact_id"], ignore_index=True)
    mailboxes = int(routes["mailbox_id"].max())
    capacity, _ = _empty(mailboxes, max(1, round(contacts / 0.9 / mailboxes)), 1)
    return candidates, routes, capacity, new_left


def run() -> None:
    print(" load  mailboxes  sigma  hot  pinned |     due  planned  planned/max flow  spread  seconds")
    for shape in SHAPES:
        candidates, routes, mailbox_capacity, new_left = team(np.random.default_rng(1), shape)
        found, spent = _assign(candidates, routes, mailbox_capacity, new_left)
        planned = int((found["mailbox_id"] > 0).sum())
        fill = planned / optimum(candidates, routes, mailbox_capacity)
        print(
            f"{shape.load:5.1f}  {shape.fewest:>4}-{shape.most:<4}  {shape.sigma:5.1f}  {shape.hot!s:5}"
            f" {shape.pinned:5.2f} | {len(candidates):7,}  {planned:7,}  {fill:16.6f}"
            f"  {spread(found, routes, mailbox_capacity):6.3f}  {spent:7.2f}"
        )


def team(
    rng: np.random.Generator, shape: Shape
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return candidates, routes, mailbox capacity and new_left of one shape.

    If `shape.hot`, a tenth of the mailboxes is chosen five times as often as the others.
    """
    chance = np.where(np.arange(MAILBOXES) < MAILBOXES // 10, 5.0 if shape.hot else 1.0, 1.0)
    own = [
        rng.choice(
            MAILBOXES, rng.integers(shape.fewest, shape.most + 1), replace=False, p=chance / chance.sum()
        )
        + 1
        for _ in range(SEQUENCES)
    ]
    routes = pd.DataFrame(
        {
            "sequence_id": np.repeat(np.arange(SEQUENCES) + 1, [len(o) for o in own]),
            "mailbox_id": np.concatenate(own),
        }
    )
    weights = rng.lognormal(0, shape.sigma, SEQUENCES)
    due = int(shape.load * LIMIT * MAILBOXES)
    sequence = rng.choice(SEQUENCES, due, p=weights / weights.sum()) + 1
    follow_up = rng.random(due) < shape.pinned
    overdue = np.minimum(rng.geometric(0.4, due) - 1, 20)
    step = rng.integers(2, instance.STEPS + 1, due)
    box = np.array([rng.choice(own[s - 1]) for s in sequence])
    return (
        _candidates(sequence, follow_up, overdue, step, box),
        routes,
        *_empty(MAILBOXES, LIMIT, SEQUENCES),
    )


def large_team(
    rng: np.random.Generator, due: int
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return candidates, routes, mailbox capacity and new_left of a team sized as in `bench.instance`."""
    sequences, mailboxes = max(1, due // 200), max(instance.MAILBOXES_A_SEQUENCE, due // 100)
    own = instance.routes_of(rng, sequences, mailboxes)
    weights = rng.lognormal(0, 0.5, sequences)
    sequence = rng.choice(sequences, due, p=weights / weights.sum())
    follow_up = rng.random(due) < 2 / 3
    overdue = np.minimum(rng.geometric(0.4, due) - 1, 20)
    step = rng.integers(2, instance.STEPS + 1, due)
    box = own[sequence, rng.integers(0, instance.MAILBOXES_A_SEQUENCE, due)]
    each = np.repeat(np.arange(sequences) + 1, instance.MAILBOXES_A_SEQUENCE)
    return (
        _candidates(sequence + 1, follow_up, overdue, step, box),
        pd.DataFrame({"sequence_id": each, "mailbox_id": own.ravel()}),
        *_empty(mailboxes, instance.LIMIT, sequences),
    )


def _candidates(
    sequence: np.ndarray, follow_up: np.ndarray, overdue: np.ndarray, step: np.ndarray, box: np.ndarray
) -> pd.DataFrame:
    """Return one candidate per contact; `step` and `box` apply to follow-ups only."""
    return pd.DataFrame(
        {
            "sequence_id": sequence,
            "contact_id": np.arange(len(sequence)),
            "step_number": np.where(follow_up, step, 1),
            "follow_up": follow_up,
            "pinned_mailbox_id": np.where(follow_up, box, 0),
            "due_day": 20_000 - overdue,
            "waits_since": 20_000 - overdue,
            "overdue": overdue,
            "priority": 0,
        }
    )


def _empty(mailboxes: int, limit: int, sequences: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the capacity of open, unused mailboxes, and sequences without a limit on new contacts."""
    mailbox_capacity = {"load": 0, "capacity": limit, "first_mails": UNBOUNDED, "state": ""}
    return (
        pd.DataFrame({"mailbox_id": np.arange(mailboxes) + 1, **mailbox_capacity}),
        pd.DataFrame({"sequence_id": np.arange(sequences) + 1, "new_left": UNBOUNDED}),
    )


def optimum(candidates: pd.DataFrame, routes: pd.DataFrame, mailbox_capacity: pd.DataFrame) -> int:
    """Return the maximum flow through source, sequences with their unpinned contacts, mailboxes and sink.

    Assumes no limit on first mails, and no contact in two rows.
    """
    mailboxes = pd.Index(mailbox_capacity["mailbox_id"])
    sequences = pd.Index(candidates["sequence_id"].unique())
    theirs = routes[routes["sequence_id"].isin(sequences)]
    pinned = candidates["pinned_mailbox_id"][candidates["pinned_mailbox_id"] > 0].value_counts()
    free = candidates["sequence_id"][candidates["pinned_mailbox_id"] == 0].value_counts()
    boxes = 2 + np.arange(len(mailboxes))
    groups = 2 + len(mailboxes) + np.arange(len(sequences))
    edges = [
        (np.zeros(len(pinned)), boxes[mailboxes.get_indexer(pinned.index)], pinned),
        (np.zeros(len(free)), groups[sequences.get_indexer(free.index)], free),
        (
            groups[sequences.get_indexer(theirs["sequence_id"])],
            boxes[mailboxes.get_indexer(theirs["mailbox_id"])],
            np.full(len(theirs), UNBOUNDED),
        ),
        (boxes, np.ones(len(boxes)), mailbox_capacity["capacity"]),
    ]
    tails, heads, sizes = (np.concatenate(parts).astype(np.int32) for parts in zip(*edges, strict=True))
    nodes = 2 + len(boxes) + len(groups)
    return int(maximum_flow(csr_array((sizes, (tails, heads)), shape=(nodes, nodes)), 0, 1).flow_value)


def spread(found: pd.DataFrame, routes: pd.DataFrame, mailbox_capacity: pd.DataFrame) -> float:
    """Return the standard deviation of the use of a sequence's mailboxes, averaged over sequences."""
    used = (
        found["mailbox_id"].value_counts().reindex(mailbox_capacity["mailbox_id"], fill_value=0)
        / mailbox_capacity["capacity"].to_numpy()
    )
    return float(routes["mailbox_id"].map(used).groupby(routes["sequence_id"]).std(ddof=0).mean())
