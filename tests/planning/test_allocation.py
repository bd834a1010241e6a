"""The assignment is the best that the day allows: exactly, by contacts, on random instances."""

from __future__ import annotations

import os
import time
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sequence_pipelines.planning.engine.allocation import Allocation
from sequence_pipelines.planning.engine.array_ops import key_order
from sequence_pipelines.planning.engine.capacity import UNBOUNDED
from sequence_pipelines.planning.engine.ways import FIRST, PINNED, Ways
from tests.planning.exact import DAY, Instance, assert_in_order, assert_proven, random_instance

EXAMPLES = int(os.environ.get("EXACT_EXAMPLES", "0"))  # new random instances; 0: the same sixty
NONE = np.zeros(0, dtype=np.int64)


@settings(max_examples=EXAMPLES or 60, deadline=None, derandomize=not EXAMPLES)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.4, 0.9]))
def test_every_class_is_served_as_an_exact_solver_allows_and_the_bounds_say_so(
    seed: int, shared: float
) -> None:
    assert_proven(random_instance(np.random.default_rng(seed), shared))


@settings(max_examples=EXAMPLES or 300, deadline=None, derandomize=not EXAMPLES)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.4, 0.9]))
def test_follow_up_of_a_contact_in_one_sequence_is_not_overtaken(seed: int, shared: float) -> None:
    assert_in_order(random_instance(np.random.default_rng(seed), shared))


def one_interval(
    sequence: np.ndarray,
    mailboxes: pd.DataFrame,
    routes: list[tuple[int, int]],
    *,
    pinned: np.ndarray | int = 0,
    priority: np.ndarray | int = 0,
    overdue: np.ndarray | int = 0,
    contact: np.ndarray | None = None,
    new_left: int = UNBOUNDED,
) -> Instance:
    """Return an instance with one interval a mailbox; pinned: mailbox ids, 0 for first mails."""
    count = len(sequence)
    opened = mailboxes[mailboxes["state"] == ""]
    intervals = opened[["mailbox_id", "capacity"]].assign(send_day=DAY).reset_index(drop=True)
    pinned, overdue = np.broadcast_to(pinned, count), np.broadcast_to(overdue, count)
    candidates = pd.DataFrame(
        {
            "sequence_id": sequence,
            "contact_id": np.arange(count) if contact is None else contact,
            "follow_up": pinned > 0,
            "pinned_mailbox_id": pinned,
            "due_day": DAY - overdue,
            "waits_since": DAY - overdue,
            "overdue": overdue,
            "priority": priority,
        }
    )
    kind = np.where(pinned > 0, PINNED, FIRST)
    entry = pd.Index(intervals["mailbox_id"]).get_indexer(pd.Index(pinned))
    none = np.zeros(count, dtype=bool)
    ways = Ways(kind, entry, np.full(count, -1), NONE, NONE, none, none)
    known = np.unique(sequence)
    team = pd.DataFrame({"sequence_id": known, "new_left": new_left, "begun": 0})
    pairs = pd.DataFrame(routes, columns=["sequence_id", "mailbox_id"]).astype(np.int64)
    return Instance(candidates, ways, pairs, mailboxes, intervals, team)


def boxes(**columns: object) -> pd.DataFrame:
    defaults = {"load": 0, "capacity": 5, "first_mails": UNBOUNDED, "state": "", "parked": False}
    frame = pd.DataFrame({**defaults, **columns})
    return frame.assign(mailbox_id=np.arange(len(frame)) + 1)


def placed(allocation: Allocation) -> np.ndarray:
    return (allocation.found["mailbox_id"] > 0).to_numpy()


def test_sequence_of_twenty_beside_one_of_two_thousand_begins_today() -> None:
    sequence = np.repeat([1, 2], [2000, 20])
    overdue = np.where(sequence == 1, 3, 0)  # the large one waits longer
    found = one_interval(sequence, boxes(capacity=[50]), [(1, 1), (2, 1)], overdue=overdue).allocate()
    assert np.bincount(sequence[placed(found)]).tolist() == [0, 30, 20]


@pytest.mark.parametrize("places", [0, 3, 7, 50])
def test_each_of_several_sequences_with_the_same_routes_gets_its_share(places: int) -> None:
    sequence = np.repeat(np.arange(7) + 1, 40)
    found = one_interval(sequence, boxes(capacity=[places]), [(s, 1) for s in range(1, 8)]).allocate()
    counts = np.bincount(sequence[placed(found)], minlength=8)[1:]
    assert counts.sum() == places
    assert counts.min() >= places // 7


def test_larger_priority_comes_before_the_longer_overdue() -> None:
    sequence = np.array([1, 2])
    found = one_interval(
        sequence, boxes(capacity=[1]), [], pinned=1, priority=np.array([100, 0]), overdue=np.array([0, 1])
    ).allocate()
    assert placed(found).tolist() == [True, False]


def test_candidate_that_cannot_be_served_does_not_stand_for_one_that_can() -> None:
    full, free = boxes(capacity=[0, 1]), [(1, 1), (2, 2)]
    found = one_interval(
        np.array([1, 2]), full, free, priority=np.array([9, 0]), contact=np.array([7, 7])
    ).allocate()
    assert placed(found).tolist() == [False, True]
    assert found.found["reason"].tolist() == ["one_mail_a_day", ""]


def test_contact_in_two_sequences_makes_room_for_one_in_a_single_sequence() -> None:
    """Contact 7 is first served by mailbox 1, the only one of contact 8; mailbox 2 has room for 7."""
    found = one_interval(
        np.array([1, 2, 1]), boxes(capacity=[1, 1]), [(1, 1), (2, 2)], contact=np.array([7, 7, 8]),
        overdue=np.array([2, 1, 1]),
    ).allocate()  # fmt: skip
    assert placed(found).tolist() == [False, True, True]


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_place_that_a_shared_contact_leaves_goes_to_the_most_urgent(order: tuple[int, ...]) -> None:
    """Contact 10 leaves mailbox 1, which both others wait for, for its first mail from mailbox 2."""
    at = list(order)
    sequence, contact = np.array([2, 1, 2, 2])[at], np.array([10, 10, 11, 12])[at]
    pinned, overdue = np.array([1, 0, 1, 1])[at], np.array([5, 0, 3, 1])[at]
    for id_of in (contact, 40 - contact):  # neither the ids nor the order of rows decide
        instance = one_interval(
            sequence, boxes(capacity=[1, 1]), [(1, 2)], pinned=pinned, overdue=overdue, contact=id_of
        )
        assert sorted(np.array(at)[placed(instance.allocate())]) == [1, 2]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_follow_up_is_not_overtaken_by_one_due_later(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 40))
    pinned, overdue = rng.integers(1, 4, count), rng.integers(0, 60, count)
    mailboxes = boxes(capacity=rng.integers(0, 8, 3))
    found = one_interval(rng.integers(1, 4, count), mailboxes, [], pinned=pinned, overdue=overdue).allocate()
    for box in range(1, 4):
        here = pinned == box
        waits, goes = overdue[here & ~placed(found)], overdue[here & placed(found)]
        assert waits.max(initial=-1) <= goes.min(initial=100)


def test_same_input_gives_the_same_plan() -> None:
    instance = random_instance(np.random.default_rng(7), 0.5)
    pd.testing.assert_frame_equal(instance.allocate().found, instance.allocate().found)


def test_load_is_spread_evenly_over_a_sequences_mailboxes() -> None:
    mailboxes = boxes(load=[0, 60, 0], capacity=[200, 140, 100])
    found = one_interval(np.ones(300, dtype=np.int64), mailboxes, [(1, 1), (1, 2), (1, 3)]).allocate().found
    counts = found["mailbox_id"].value_counts().reindex([1, 2, 3]).to_numpy()
    use = (mailboxes["load"] + counts) / (mailboxes["load"] + mailboxes["capacity"])
    assert use.max() - use.min() < 0.02


def test_time_does_not_grow_with_the_number_of_priorities() -> None:
    rng = np.random.default_rng(1)
    sequence = rng.integers(1, 501, 20_000)
    routes = [(s, m) for s in range(1, 501) for m in rng.choice(200, 5, replace=False) + 1]
    spent = {}
    for priorities in (1, 500):
        instance = one_interval(sequence, boxes(capacity=[80] * 200), routes, priority=sequence % priorities)
        began = time.process_time()
        instance.allocate()
        spent[priorities] = time.process_time() - began
    assert spent[500] < 4 * spent[1] + 0.2


@pytest.mark.parametrize("capacity", [2**31 - 1, 2**31 + 5, 2**32 + 3])
def test_a_mailbox_without_a_bound_takes_whoever_has_to_make_room(capacity: int) -> None:
    """Its load keeps it from being chosen first, so that the other's contacts have to change over."""
    both = 20
    mailboxes = boxes(load=[0, 2**33], capacity=[both, capacity])
    sequence = np.repeat([1, 2], both)
    found = one_interval(sequence, mailboxes, [(1, 1), (1, 2), (2, 1)], priority=np.repeat([1, 0], both))
    assert placed(found.allocate()).all()


@pytest.mark.parametrize(
    ("change", "pinned", "reason"),
    [
        ({"capacity": [0], "load": 5}, 0, "no_capacity"),
        ({"state": ["window_closed"]}, 0, "window_closed"),
        ({"state": ["mailbox_parked"]}, 0, "mailbox_parked"),
        ({"state": ["mailbox_inactive"]}, 0, "mailbox_inactive"),
        ({"state": ["mailbox_misconfigured"]}, 0, "mailbox_misconfigured"),
        ({"first_mails": [0]}, 0, "max_first_mails"),
        ({"capacity": [0]}, 1, "pinned_mailbox_full"),
        ({"state": ["mailbox_parked"]}, 1, "mailbox_parked"),
    ],
)
def test_who_waits_is_told_why(change: dict[str, object], pinned: int, reason: str) -> None:
    mailboxes = boxes(**{"capacity": [5]} | change)
    found = one_interval(np.array([1]), mailboxes, [(1, 1)], pinned=pinned).allocate().found
    assert found["reason"].tolist() == [reason]
    assert found["mailbox_id"].tolist() == [0]


def test_reached_bound_of_a_sequence_and_missing_routes_are_reasons_too() -> None:
    bounded = one_interval(np.array([1]), boxes(capacity=[5]), [(1, 1)], new_left=0).allocate().found
    alone = one_interval(np.array([1]), boxes(capacity=[5]), []).allocate().found
    assert bounded["reason"].tolist() == ["max_new_per_day"]
    assert alone["reason"].tolist() == ["no_mailbox"]


@given(
    rows=st.integers(0, 40).flatmap(
        lambda rows: st.lists(
            st.sampled_from([1, 2**20, 2**30, 2**62]).flatmap(
                lambda most: st.lists(st.integers(-most, most), min_size=rows, max_size=rows)
            ),
            min_size=1,
            max_size=3,
        )
    ),
    sort_first=st.booleans(),
)
def test_rows_are_ordered_column_by_column_and_equal_ones_stay(
    rows: list[list[int]], sort_first: bool
) -> None:
    columns = [np.array(column, dtype=np.int64) for column in rows]
    if sort_first:
        order = np.lexsort(columns[::-1])
        columns = [column[order] for column in columns]
    assert key_order(*columns).tolist() == np.lexsort(columns[::-1]).tolist()
