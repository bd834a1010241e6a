"""Tests of the chain on a faulty SQS: no contact is mailed twice, and none is lost."""

from __future__ import annotations

import threading

import pytest
from botocore.exceptions import EndpointConnectionError

from local_stack.ports import LOOPBACK, free_port
from sequence_store.sqs import Outgoing
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
    # faults are random per call: run until each has occurred
    chain.run_until(
        lambda: chain.advanced() == CONTACTS and all(chain.chaos.injected[fault] for fault in KINDS[kind])
    )
    chain.assert_each_was_mailed_once(CONTACTS)
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


def test_a_message_that_two_requests_at_once_brought_is_received_as_one(chain: Chain) -> None:
    queue = chain.queue("delivery_results_queue")
    assert sum(map(len, queue.send(Outgoing(str(n), str(n)) for n in range(60)))) == 60
    chain.chaos.chances = {Fault.RECEIVED_TWICE: 1.0}
    received = [message.message_id for message in queue.receive_many(100)]
    assert chain.chaos.injected[Fault.RECEIVED_TWICE]
    assert len(received) == len(set(received))


def test_queue_that_cannot_be_reached_fails_its_runs_visibly_and_costs_nothing(chain: Chain) -> None:
    chain.enrol(3)
    chain.plan()
    chain.changes = {"aws_endpoint_url_sqs": f"http://{LOOPBACK}:{free_port()}"}
    for work in (chain.dispatch, chain.results):
        with pytest.raises(EndpointConnectionError):
            work()
    assert chain.statuses() == {"planned": 3}
    chain.changes.clear()
    chain.start_worker()
    chain.run_until(lambda: chain.advanced() == 3)
    chain.assert_each_was_mailed_once(3)


def test_throttled_calls_are_repeated_a_few_times_and_not_for_ever(chain: Chain) -> None:
    chain.enrol(3)
    chain.plan()
    queue = chain.queue("sends_queue")
    chain.chaos.chances = {Fault.THROTTLED: 1.0}
    chain.chaos.calls.clear()
    with pytest.raises(queue.client.exceptions.ClientError, match="RequestThrottled"):
        chain.dispatch()
    assert chain.chaos.calls.total() <= 5
    assert chain.statuses() == {"planned": 3}


def test_two_dispatchers_at_once_publish_each_row_once(chain: Chain) -> None:
    chain.enrol(100)
    chain.plan()
    sent: list[int] = []
    threads = [threading.Thread(target=lambda: sent.append(chain.dispatch())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(sent) == 100
    assert chain.queue("sends_queue").depth() == 100
    assert chain.statuses() == {"dispatched": 100}
