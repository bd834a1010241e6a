"""Tests that kill, pause or terminate every program at every failpoint."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from local_stack.processes import wait_until
from sequence_store.domain.states import LIVE
from sequence_store.failpoints import Failpoint
from sequence_store.sqs import create_queues
from tests.faults import doomed
from tests.faults.conftest import QUICK, VISIBILITY_SECONDS, Chain

ROOT = Path(__file__).parents[2]
SIGNALS = ("KILL", "STOP", "TERM")
PIPELINE = [point for point in Failpoint if re.match("plan|dispatch|results|reconcile", point)]
READER = [
    point for point in Failpoint if point.startswith("mails_")
]  # tests/step_mailing_worker/test_mailbox_reader.py
WORKER = [point for point in Failpoint if point not in PIPELINE and point not in READER]

# Status of a send whose worker is killed at the failpoint, and how often the server accepted its mail.
KILLED = {
    Failpoint.AFTER_RECEIVE: ("sent", 1),
    Failpoint.AFTER_CLAIM: ("sent", 1),
    Failpoint.AFTER_EHLO: ("sent", 1),
    Failpoint.AFTER_RCPT: ("sent", 1),
    Failpoint.AFTER_TRANSMITTING: ("unknown", 0),
    Failpoint.BEFORE_DOT: ("unknown", 0),
    Failpoint.AFTER_DOT: ("unknown", 1),
    Failpoint.AFTER_ANSWER: ("unknown", 1),
    Failpoint.AFTER_FINISH: ("sent", 1),
    Failpoint.AFTER_RESULT: ("sent", 1),
}


def test_every_point_stands_in_the_code_and_in_the_matrix() -> None:
    packages = ("sequence_pipelines", "step_mailing_worker")
    code = "".join(file.read_text() for name in packages for file in (ROOT / name).rglob("*.py"))
    assert set(re.findall(r"reach\(Failpoint\.(\w+)\)", code)) == {point.name for point in Failpoint}
    assert set(KILLED) == set(WORKER)
    assert {point.partition("_")[0] for point in PIPELINE} == {"plan", "dispatch", "results", "reconcile"}


@dataclass
class Cells:
    """One mail per failpoint, each with its own queue, so that no other worker receives its message."""

    chain: Chain
    contacts: dict[Failpoint, int] = field(default_factory=dict)
    processes: dict[Failpoint, BaseProcess] = field(default_factory=dict)

    def start(self, point: Failpoint, signal_name: str) -> None:
        """Plan a mail, publish its message to a new queue, and start the worker that gets the signal."""
        chain = self.chain
        sequence = chain.enrol(1)
        self.contacts[point] = chain.world.one(
            "SELECT contact_id FROM sequences_contacts WHERE sequence_id = %s", sequence
        )
        chain.plan()
        own = {"sends_queue": f"{chain.world.settings.sends_queue}-{signal_name}-{point}"}
        owner = chain.queues.settings.owner.model_copy(update=own)
        create_queues(chain.queues.client, owner, visibility_seconds=VISIBILITY_SECONDS)
        chain.changes |= own
        assert chain.dispatch() == 1
        settings = chain.queues.settings.worker.model_copy(
            update={
                **QUICK,
                **own,
                "smtp_host": chain.sink.host,
                "smtp_port": chain.sink.port,
                "worker_concurrency": 1,
            }
        )
        self.processes[point] = doomed.start(point, signal_name, settings)

    def rescue(self) -> None:
        """Expire every lease and time limit, and start another worker for the remaining sends."""
        chain = self.chain
        chain.changes.clear()
        chain.world.run("UPDATE sends SET lease_until = now() - interval '1 s' WHERE status = 'claimed'")
        chain.changes |= {"vanished_after_seconds": 0, "transmitting_bound_seconds": 0}
        chain.reconcile()
        chain.changes.clear()
        chain.start_worker()
        chain.run_until(lambda: not chain.statuses().keys() & LIVE)

    def ends(self) -> dict[Failpoint, tuple[str, int]]:
        mails = Counter(mail.rcpt_to[0] for mail in self.chain.sink.mails)
        rows = self.chain.world.connection.execute(
            "SELECT s.contact_id, s.status, c.mail_address"
            " FROM sends s JOIN contacts c ON c.id = s.contact_id"
        ).fetchall()
        found = {contact: (status, mails[address]) for contact, status, address in rows}
        return {point: found[contact] for point, contact in self.contacts.items()}

    def close(self) -> None:
        for process in self.processes.values():
            doomed.end(process)


@pytest.fixture
def cells(chain: Chain) -> Iterator[Cells]:
    cells = Cells(chain)
    yield cells
    cells.close()


@pytest.mark.parametrize("signal_name", SIGNALS)
def test_worker_that_meets_a_signal_anywhere_mails_nobody_twice_and_loses_nobody(
    cells: Cells, signal_name: str
) -> None:
    for point in WORKER:
        cells.start(point, signal_name)
    for point, process in cells.processes.items():
        assert doomed.met_its_signal(process, signal_name), point
        assert signal_name != "TERM" or process.exitcode == 0, point
    cells.rescue()
    if signal_name == "STOP":  # they resume after their leases; another worker has sent the mails
        for process in cells.processes.values():
            doomed.end(process)
            assert process.exitcode == 0
        cells.chain.tick()
    assert cells.ends() == (KILLED if signal_name == "KILL" else dict.fromkeys(WORKER, ("sent", 1)))
    cells.chain.assert_all_invariants_hold()


@pytest.mark.parametrize("signal_name", SIGNALS)
def test_planner_dispatcher_and_results_that_meet_a_signal_anywhere_are_made_up_for(
    chain: Chain, signal_name: str
) -> None:
    chain.start_worker()
    for number, point in enumerate(PIPELINE, start=1):
        program = point.partition("_")[0]
        chain.enrol(1)
        settings = chain.settings
        if program != "plan":
            chain.plan()
        if program == "reconcile":
            settings = settings.model_copy(update={"vanished_after_seconds": 0})
            chain.world.run(
                "UPDATE sends SET status = 'dispatched', dispatched_at = send_at WHERE status = 'planned'"
            )
        if program == "results":
            chain.dispatch()
            assert wait_until(lambda: chain.queue("delivery_results_queue").depth() > 0, 60)
        process = doomed.start(point, signal_name, settings)
        try:
            assert doomed.met_its_signal(process, signal_name), point
            if program == "plan":
                assert chain.world.one("SELECT count(*) FROM sends WHERE status = 'planned'") == 0, point
            if signal_name == "STOP":
                if program == "dispatch":
                    assert chain.dispatch() == 0, "a paused dispatcher must keep its lock"
                doomed.wake(process)
                process.join(90)
                assert process.exitcode == 0, point
        finally:
            doomed.end(process)
        chain.plan()
        chain.run_until(lambda number=number: chain.advanced() == number)  # type: ignore[misc]
    chain.assert_each_was_mailed_once(len(PIPELINE))
