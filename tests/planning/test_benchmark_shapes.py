"""Tests that the benchmark's teams are assigned: as many mails as an independent maximum flow has."""

from __future__ import annotations

import numpy as np

from bench import shapes


def test_teams_of_the_benchmark_reach_the_maximum_flow() -> None:
    team = shapes.large_team(np.random.default_rng(1), 2_000)
    found, _ = shapes._assign(*team)
    assert (found["mailbox_id"] > 0).sum() == shapes.optimum(*team[:3]) > 0


def test_contacts_in_three_sequences_are_served_once() -> None:
    team = shapes._three_sequences_each(np.random.default_rng(1), 500)
    found, _ = shapes._assign(*team)
    served = team[0]["contact_id"][(found["mailbox_id"] > 0).to_numpy()]
    assert served.is_unique
    assert len(served) > 0
