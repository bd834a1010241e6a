"""Tests of the measurement of what other programs use of the machine."""

from __future__ import annotations

import os
import time

import pytest

from sequence_cli.machine_load import LoadMeter, Reading, read_load, share_of_others

TICK = os.sysconf("SC_CLK_TCK")
SECOND = TICK * (os.cpu_count() or 1)  # all processors together
BEFORE = Reading(total=5_000, busy=900, own={1: 400}, throttled=0.0)


def after(busy: float, own: dict[int, int], throttled: float = 0.0) -> Reading:
    """Return a reading ten seconds after BEFORE; `busy` is a share of the machine."""
    return Reading(5_000 + 10 * SECOND, 900 + round(busy * 10 * SECOND), own, throttled)


@pytest.mark.parametrize(
    ("reading", "share"),
    [
        (after(0.0, {1: 400}), 0.0),
        (after(0.9, {1: 400}), 0.9),
        (after(0.9, {1: 400 + 8 * SECOND}), 0.1),
        (after(0.9, {2: 9 * SECOND}), 0.0),  # a process that was started since
        (after(0.2, {}), 0.2),  # one that ended
        (after(0.1, {1: 400}, throttled=6.0), 0.6),  # a container at its CPU limit
        (BEFORE, 0.0),
    ],
)
def test_share_of_others_leaves_out_the_stacks_own_processes(reading: Reading, share: float) -> None:
    assert share_of_others(BEFORE, reading) == pytest.approx(share, abs=0.01)


def test_work_of_this_process_counts_as_own() -> None:
    first = read_load("SEQUENCE_STACK=/nowhere")
    begun = time.process_time()
    while time.process_time() - begun < 0.3:
        pass
    second = read_load("SEQUENCE_STACK=/nowhere")
    assert first
    assert second
    own = second.own[os.getpid()] - first.own[os.getpid()]
    assert own >= 0.25 * TICK
    assert second.busy - first.busy >= own * 0.8
    assert second.total > first.total


def test_meter_that_has_not_measured_calls_the_machine_quiet() -> None:
    with LoadMeter("SEQUENCE_STACK=/nowhere") as meter:
        assert not meter.is_loaded
