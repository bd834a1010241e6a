"""Dispatch, worker and results through a queue that does all that SQS may do: nobody is mailed twice, nobody is lost."""

from __future__ import annotations

import pytest

from tests.faults.chaotic_sqs import EVERYTHING, Fault
from tests.faults.conftest import Chain

CONTACTS = 12
KINDS = {
    "twice": {Fault.DUPLICATE: 1.0, Fault.RECEIVED_TWICE: 1.0},
    "out of order and time": {Fault.REORDERED: 1.0, Fault.EARLY: 1.0, Fault.LATE: 0.5},
    "nothing stays deleted": {Fault.DELETE_LOST: 0.5},
    "half of every batch": {Fault.PARTIAL_BATCH: 1.0},
    "refusals": {Fault.THROTTLED: 0.12, Fault.UNAVAILABLE: 0.12},
    "done without an answer": {Fault.ANSWER_LOST: 0.3},
}


def test_every_fault_is_among_the_kinds() -> None:
    assert {fault for kind in KINDS.values() for fault in kind} == set(Fault)


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_the_queue_does_each_contact_is_mailed_once_and_moves_on(chain: Chain, kind: str) -> None:
    chain.enrol(CONTACTS)
    chain.plan()
    if Fault.EARLY in KINDS[kind]:
        chain.world.run("UPDATE sends SET send_at = clock_timestamp() + interval '2 s'")
    chain.chaos.chances = KINDS[kind]
    chain.start_worker()
    chain.run_until(lambda: chain.advanced() == CONTACTS)
    chain.assert_each_was_mailed_once(CONTACTS)
    assert all(chain.chaos.injected[fault] for fault in KINDS[kind])
    (due,) = {row["send_at"] for row in chain.world.rows()}
    assert min(mail.at for mail in chain.sink.mails) >= due, "a mail was early"


def test_with_all_faults_at_once_and_two_workers_each_contact_is_mailed_once(chain: Chain) -> None:
    chain.enrol(25)
    chain.plan()
    chain.chaos.chances = EVERYTHING
    chain.start_worker()
    chain.start_worker()
    chain.run_until(lambda: chain.advanced() == 25, seconds=60)
    chain.assert_each_was_mailed_once(25)
    chain.chaos.rest()
    chain.run_until(lambda: chain.queue("sends_queue").depth() == 0)
