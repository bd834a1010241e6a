"""Tests that the assignment is optimal for every prefix of the priority classes, on random instances."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from sequence_pipelines.planning.engine.allocation import OLDEST_DISTINGUISHED, UNBOUNDED, allocate
from sequence_pipelines.planning.engine.array_ops import key_order

COLUMNS = [
    "sequence_id",
    "contact_id",
    "step_number",
    "follow_up",
    "pinned_mailbox_id",
    "due_day",
    "overdue",
    "priority",
]


def frames(
    rng: np.random.Generator, *, sequences: int, mailboxes: int, contacts: int, shared: float = 0.0
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return candidates, routes, mailbox_capacity and new_left of one random instance."""
    mailbox_capacity = pd.DataFrame(
        {
            "mailbox_id": np.arange(mailboxes) + 1,
            "load": rng.integers(0, 4, mailboxes),
            "capacity": rng.integers(0, 7, mailboxes),
            "first_mails": rng.choice([0, 1, 3, UNBOUNDED], mailboxes),
            "state": "",
        }
    )
    routes = pd.DataFrame(
        [
            (s + 1, m + 1)
            for s in range(sequences)
            for m in rng.choice(mailboxes, rng.integers(0, min(3, mailboxes) + 1), replace=False)
        ],
        columns=["sequence_id", "mailbox_id"],
    ).astype(np.int64)
    new_left = pd.DataFrame(
        {
            "sequence_id": np.arange(sequences) + 1,
            "new_left": rng.choice([0, 2, UNBOUNDED], sequences, p=[0.1, 0.3, 0.6]),
        }
    )
    priority = rng.integers(0, 2, sequences)
    sequence = rng.integers(0, sequences, contacts)
    follow_up = rng.random(contacts) < 0.5
    pinned = np.where(follow_up & (rng.random(contacts) < 0.8), rng.integers(1, mailboxes + 1, contacts), 0)
    overdue = rng.integers(0, 20, contacts)
    people = np.where(
        rng.random(contacts) < shared,
        rng.integers(0, max(1, contacts // 4), contacts),
        np.arange(contacts) + 10_000,
    )
    candidates = pd.DataFrame(
        {
            "sequence_id": sequence + 1,
            "contact_id": people,
            "step_number": np.where(follow_up, rng.integers(2, 4, contacts), 1),
            "follow_up": follow_up,
            "pinned_mailbox_id": pinned,
            "due_day": 20_000 - overdue,
            "overdue": overdue,
            "priority": priority[sequence],
        }
    ).drop_duplicates(["sequence_id", "contact_id"], ignore_index=True)
    return candidates, routes, mailbox_capacity, new_left


def classes(candidates: pd.DataFrame) -> pd.Series:
    """Return each candidate's class as a tuple that sorts like the priority."""
    return pd.Series(
        list(
            zip(
                ~candidates["follow_up"],
                -candidates["step_number"],
                -candidates["overdue"].clip(upper=OLDEST_DISTINGUISHED),
                -candidates["priority"],
                strict=True,
            )
        ),
        index=candidates.index,
    )


def optimum(
    candidates: pd.DataFrame, routes: pd.DataFrame, mailbox_capacity: pd.DataFrame, new_left: pd.DataFrame
) -> int:
    """Return the maximum flow of the textbook network, in which each contact is a node."""
    index: dict[tuple[str, int], int] = {("source", 0): 0, ("sink", 0): 1}

    def node(kind: str, of: int) -> int:
        return index.setdefault((kind, of), len(index))

    edges: list[tuple[int, int, int]] = []
    by_sequence = routes.groupby("sequence_id")["mailbox_id"].apply(list).to_dict()
    for n, c in enumerate(candidates.itertuples()):
        here = node("contact", n)
        edges.append((0, here, 1))
        if c.pinned_mailbox_id:
            edges.append((here, node("mailbox", c.pinned_mailbox_id), 1))
        elif c.follow_up:
            edges += [(here, node("mailbox", m), 1) for m in by_sequence.get(c.sequence_id, [])]
        else:
            edges.append((here, node("new", c.sequence_id), 1))
    for s, left in new_left.itertuples(index=False):
        edges.append((node("new", s), node("begin", s), int(left)))
        edges += [(node("begin", s), node("gate", m), UNBOUNDED) for m in by_sequence.get(s, [])]
    for m in mailbox_capacity.itertuples():
        edges.append((node("gate", m.mailbox_id), node("mailbox", m.mailbox_id), int(m.first_mails)))
        edges.append((node("mailbox", m.mailbox_id), 1, int(m.capacity)))
    tails, heads, sizes = np.array(edges, dtype=np.int64).T
    network = csr_array((sizes.astype(np.int32), (tails, heads)), shape=(len(index), len(index)))
    return int(maximum_flow(network, 0, 1).flow_value)


def assert_feasible(
    found: pd.DataFrame,
    candidates: pd.DataFrame,
    routes: pd.DataFrame,
    mailbox_capacity: pd.DataFrame,
    new_left: pd.DataFrame,
) -> None:
    plan = candidates.assign(mailbox_id=found["mailbox_id"])
    plan = plan[plan["mailbox_id"] > 0]
    per_mailbox = plan["mailbox_id"].value_counts()
    capacity = mailbox_capacity.set_index("mailbox_id")["capacity"]
    assert (per_mailbox <= capacity.reindex(per_mailbox.index)).all()
    first = plan[~plan["follow_up"]]
    per_gate = first["mailbox_id"].value_counts()
    assert (per_gate <= mailbox_capacity.set_index("mailbox_id")["first_mails"].reindex(per_gate.index)).all()
    per_sequence = first["sequence_id"].value_counts()
    assert (per_sequence <= new_left.set_index("sequence_id")["new_left"].reindex(per_sequence.index)).all()
    pinned = plan[plan["pinned_mailbox_id"] > 0]
    assert (pinned["mailbox_id"] == pinned["pinned_mailbox_id"]).all()
    free = plan[plan["pinned_mailbox_id"] == 0]
    allowed = set(routes.itertuples(index=False, name=None))
    assert all(
        pair in allowed for pair in free[["sequence_id", "mailbox_id"]].itertuples(index=False, name=None)
    )
    assert plan["contact_id"].is_unique


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 6), st.integers(0, 60))
def test_every_prefix_of_the_classes_is_served_as_the_maximum_flow_allows(
    seed: int, sequences: int, mailboxes: int, contacts: int
) -> None:
    instance = frames(
        np.random.default_rng(seed), sequences=sequences, mailboxes=mailboxes, contacts=contacts
    )
    candidates, routes, mailbox_capacity, new_left = instance
    found = allocate(*instance)
    assert_feasible(found, *instance)
    class_of = classes(candidates)
    for cls in sorted(set(class_of)):
        prefix = candidates[class_of <= cls]
        served = int((found["mailbox_id"][prefix.index] > 0).sum())
        assert served == optimum(prefix, routes, mailbox_capacity, new_left)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 6), st.integers(0, 60))
def test_contact_in_several_sequences_gets_one_mail_the_most_urgent_that_fits(
    seed: int, sequences: int, mailboxes: int, contacts: int
) -> None:
    instance = frames(
        np.random.default_rng(seed), sequences=sequences, mailboxes=mailboxes, contacts=contacts, shared=0.7
    )
    candidates, routes, mailbox_capacity, new_left = instance
    found = allocate(*instance)
    assert_feasible(found, *instance)
    order = candidates.assign(cls=classes(candidates)).sort_values(
        ["cls", "due_day", "sequence_id", "contact_id"]
    )
    standing = order.drop_duplicates("contact_id").sort_index()
    first_pass = allocate(standing.drop(columns="cls"), routes, mailbox_capacity, new_left)
    placed = first_pass.index[first_pass["mailbox_id"] > 0]
    assert (found["mailbox_id"][placed] > 0).all()
    assert ((found["reason"] == "") == (found["mailbox_id"] > 0)).all()


def test_same_input_gives_the_same_plan() -> None:
    instance = frames(np.random.default_rng(7), sequences=20, mailboxes=30, contacts=400)
    pd.testing.assert_frame_equal(allocate(*instance), allocate(*instance))


@pytest.mark.parametrize("apart", [1, 10**3, 10**12])
def test_distance_between_contact_ids_changes_nothing(apart: int) -> None:
    candidates, *rest = frames(np.random.default_rng(7), sequences=20, mailboxes=30, contacts=400, shared=0.3)
    for some in (candidates, candidates.drop_duplicates("contact_id", ignore_index=True)):
        pd.testing.assert_frame_equal(
            allocate(some.assign(contact_id=some["contact_id"] * apart), *rest), allocate(some, *rest)
        )


@pytest.mark.parametrize("capacity", [2**31 - 1, 2**31 + 5, 2**32 + 3])
def test_mailbox_without_a_limit_takes_the_contacts_that_another_one_frees(capacity: int) -> None:
    """It has the higher load, so the other mailbox is filled first and some of its contacts must move."""
    both = 20
    candidates = pd.DataFrame(
        {
            "sequence_id": np.repeat([1, 2], both),
            "contact_id": np.arange(2 * both),
            "step_number": 1,
            "follow_up": False,
            "pinned_mailbox_id": 0,
            "due_day": 0,
            "overdue": 0,
            "priority": np.repeat([1, 0], both),
        }
    )
    mailbox_capacity = pd.DataFrame(
        {
            "mailbox_id": [1, 2],
            "load": [0, 2**33],
            "capacity": [both, capacity],
            "first_mails": UNBOUNDED,
            "state": "",
        }
    )
    routes = pd.DataFrame({"sequence_id": [1, 1, 2], "mailbox_id": [1, 2, 1]})
    new_left = pd.DataFrame({"sequence_id": [1, 2], "new_left": UNBOUNDED})
    assert (allocate(candidates, routes, mailbox_capacity, new_left)["mailbox_id"] > 0).all()


def test_load_is_spread_evenly_over_a_sequences_mailboxes() -> None:
    candidates = pd.DataFrame(
        {
            "sequence_id": 1,
            "contact_id": np.arange(300),
            "step_number": 1,
            "follow_up": False,
            "pinned_mailbox_id": 0,
            "due_day": 0,
            "overdue": 0,
            "priority": 0,
        }
    )
    routes = pd.DataFrame({"sequence_id": 1, "mailbox_id": [1, 2, 3]})
    mailbox_capacity = pd.DataFrame(
        {
            "mailbox_id": [1, 2, 3],
            "load": [0, 60, 0],
            "capacity": [200, 140, 100],
            "first_mails": UNBOUNDED,
            "state": "",
        }
    )
    found = allocate(
        candidates, routes, mailbox_capacity, pd.DataFrame({"sequence_id": [1], "new_left": [UNBOUNDED]})
    )
    use = (mailbox_capacity["load"] + found["mailbox_id"].value_counts().reindex([1, 2, 3]).to_numpy()) / (
        mailbox_capacity["load"] + mailbox_capacity["capacity"]
    )
    assert use.max() - use.min() < 0.02


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"capacity": 0, "load": 5}, "no_capacity"),
        ({"capacity": 0, "state": "window_closed"}, "window_closed"),
        ({"capacity": 0, "state": "mailbox_parked"}, "mailbox_parked"),
        ({"capacity": 0, "state": "mailbox_inactive"}, "mailbox_inactive"),
        ({"capacity": 0, "state": "mailbox_misconfigured"}, "mailbox_misconfigured"),
        ({"first_mails": 0}, "max_first_mails"),
        ({"new_left": 0}, "max_new_per_day"),
        ({"routes": []}, "no_mailbox"),
        ({"pinned": 1, "capacity": 0}, "pinned_mailbox_full"),
        ({"pinned": 1, "capacity": 0, "state": "mailbox_parked"}, "mailbox_parked"),
    ],
)
def test_candidate_without_a_slot_has_a_reason(change: dict[str, object], reason: str) -> None:
    pinned = change.pop("pinned", 0)
    routes = pd.DataFrame({"sequence_id": [1], "mailbox_id": [1]})[: 0 if "routes" in change else 1]
    change.pop("routes", None)
    new_left = pd.DataFrame({"sequence_id": [1], "new_left": [change.pop("new_left", UNBOUNDED)]})
    candidates = pd.DataFrame([(1, 1, 2 if pinned else 1, bool(pinned), pinned, 0, 0, 0)], columns=COLUMNS)
    mailbox_capacity = pd.DataFrame(
        [{"mailbox_id": 1, "load": 0, "capacity": 5, "first_mails": UNBOUNDED, "state": ""} | change]
    )
    found = allocate(candidates, routes, mailbox_capacity, new_left)
    assert found["reason"].tolist() == [reason]
    assert found["mailbox_id"].tolist() == [0]


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
