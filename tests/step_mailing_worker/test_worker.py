"""Claims about the worker, with real Postgres, SQS and SMTP, and a real worker process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from typing import Any

import pytest

from local_stack.processes import wait_until
from sequence_store.queues import Outgoing
from step_mailing_worker.main import WAIT_SECONDS


class Bench:
    """One sequence of two steps, one mailbox open all day, and workers to start."""

    def __init__(self, database: Any, queues: Any, sink: Any) -> None:
        self.database, self.queues, self.sink = database, queues, sink
        self.connection = database.connect("owner", autocommit=True)
        self.workers: list[subprocess.Popen[bytes]] = []
        self.sequence = self.one("INSERT INTO sequences (sequence_name) VALUES ('s') RETURNING id")
        self.step = self.one(
            "INSERT INTO steps (sequence_id, step_number, mail_subject, mail_content) "
            "VALUES (%s, 1, 'Hi {{ contact.name }}', '<p>Dear {{ contact.name }}</p>') RETURNING id",
            self.sequence,
        )
        self.mailbox = self.one(
            "INSERT INTO mailboxes (address, display_name, send_limit, send_start_time, send_end_time) "
            "VALUES ('ann@sender.example', 'Ann', 50, '00:00', '00:00') RETURNING id"
        )

    def one(self, statement: str, *parameters: Any) -> Any:
        row = self.connection.execute(statement, parameters).fetchone()
        return row[0] if row and len(row) == 1 else row

    def run(self, statement: str, *parameters: Any) -> None:
        self.connection.execute(statement, parameters)

    def send(
        self, address: str = "bob@people.example", *, name: str = "Bob", seconds: float = 0, tell: int = 1
    ) -> int:
        """Enter a dispatched send due in `seconds` and put `tell` messages for it on the queue."""
        contact = self.one(
            "INSERT INTO contacts (name, mail_address) VALUES (%s, %s) RETURNING id", name, address
        )
        self.run(
            "INSERT INTO sequences_contacts (sequence_id, contact_id, next_send) VALUES (%s, %s, current_date)",
            self.sequence,
            contact,
        )
        at = datetime.now(UTC) + timedelta(seconds=seconds)
        self.run(
            "INSERT INTO sends (sequence_id, contact_id, step_id, round, mailbox_id, due_day, plan_day, send_day, send_at, not_after, status) "
            "VALUES (%s, %s, %s, 1, %s, current_date, current_date, current_date, date_trunc('second', %s), %s, 'dispatched')",
            self.sequence,
            contact,
            self.step,
            self.mailbox,
            at,
            at + timedelta(hours=1),
        )
        self.tell(contact, times=tell)
        return int(contact)

    def tell(self, contact: int, *, times: int = 1, attempt: int = 1, environment: str = "local") -> None:
        body = {
            "v": 1,
            "sequence_id": self.sequence,
            "contact_id": contact,
            "sequence_step_id": self.step,
            "round": 1,
            "mailbox_id": self.mailbox,
            "send_at": datetime.now(UTC).isoformat(),
            "not_after": datetime.now(UTC).isoformat(),
            "attempt": attempt,
            "environment": environment,
        }
        list(self.queues.sends.send([Outgoing(str(n), json.dumps(body)) for n in range(times)], threads=1))

    def start(self, **environment: str) -> subprocess.Popen[bytes]:
        settings = self.queues.settings.worker
        variables = {
            "WORKER_DATABASE_URL": self.database.worker,
            "AWS_ENDPOINT_URL_SQS": self.queues.endpoint,
            "SENDS_QUEUE": settings.sends_queue,
            "DELIVERY_RESULTS_QUEUE": settings.delivery_results_queue,
            "SMTP_HOST": self.sink.host,
            "SMTP_PORT": str(self.sink.port),
        }
        worker = subprocess.Popen(
            [sys.executable, "-m", "step_mailing_worker"], env=os.environ | variables | environment
        )
        self.workers.append(worker)
        return worker

    def row(self, contact: int) -> Any:
        return self.one("SELECT status, reason, attempt FROM sends WHERE contact_id = %s", contact)

    def settled(self, contact: int, *statuses: str) -> Any:
        assert wait_until(lambda: self.row(contact)[0] in statuses, 30), self.row(contact)
        return self.row(contact)

    def end(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.terminate()
        for worker in self.workers:
            worker.wait(40)
        self.connection.close()


@pytest.fixture
def bench(database: Any, queues: Any, smtp_sink: Any) -> Iterator[Bench]:
    bench = Bench(database, queues, smtp_sink)
    try:
        yield bench
    finally:
        bench.end()


def test_a_mail_goes_out_once_at_its_second_and_its_result_is_reported(bench: Bench) -> None:
    contact = bench.send(seconds=3, tell=3)
    bench.start()
    bench.start()
    bench.settled(contact, "sent")
    (mail,) = bench.sink.wait_for(1)
    due = bench.one("SELECT send_at FROM sends WHERE contact_id = %s", contact)
    assert timedelta(0) <= mail.at - due <= timedelta(seconds=2)
    parsed = message_from_bytes(mail.data, policy=policy.default)
    assert (parsed["From"], parsed["To"], parsed["Subject"]) == (
        "Ann <ann@sender.example>",
        "Bob <bob@people.example>",
        "Hi Bob",
    )
    assert parsed.get_body(("plain",)).get_content().strip() == "Dear Bob"
    assert parsed["Date"].datetime == due
    assert wait_until(lambda: bench.queues.delivery_results.depth() >= 1, 20)
    assert wait_until(lambda: bench.queues.sends.depth() == 0, 20)
    assert len(bench.sink.mails) == 1
    assert bench.one("SELECT used FROM mailbox_days") == 1


@pytest.mark.parametrize(
    ("reply", "status", "enrolment", "suppressed"),
    [
        ({"RCPT": "550 5.1.1 no such user bob@people.example"}, "hard_failed", "bounced", 1),
        ({"RCPT": "450 4.2.1 busy, try again in 300 seconds"}, "planned", "active", 0),
        ({"DATA": "554 5.6.0 content refused"}, "cancelled", "paused", 0),
        ({"RCPT": "550 5.4.5 Daily user sending limit exceeded"}, "cancelled", "active", 0),
    ],
)
def test_a_refusal_costs_only_whose_fault_it_is(
    bench: Bench, reply: dict[str, str], status: str, enrolment: str, suppressed: int
) -> None:
    bench.sink.replies.update(reply)
    contact = bench.send()
    bench.start()
    bench.settled(contact, status)
    assert bench.one("SELECT status FROM sequences_contacts") == enrolment
    assert bench.one("SELECT count(*) FROM suppressions") == suppressed
    assert (bench.one("SELECT parked_until IS NOT NULL FROM mailboxes")) == ("5.4.5" in str(reply))
    assert "bob@" not in str(bench.one("SELECT smtp_reply FROM sends"))
    assert bench.one("SELECT coalesce(sum(used), 0)::int FROM mailbox_days") == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("UPDATE sequences_contacts SET status = 'unsubscribed'", "enrolment_unsubscribed"),
        ("UPDATE contacts SET is_active = false", "contact_inactive"),
        ("UPDATE mailboxes SET is_active = false", "mailbox_inactive"),
        ("UPDATE sequences SET is_active = false", "sequence_inactive"),
        ("UPDATE steps SET deleted_at = now()", "step_deleted"),
        ("UPDATE mailboxes SET send_limit = 0", "limit_reached"),
        ("UPDATE steps SET mail_content = '{{ contact.nothing }}'", "template"),
    ],
)
def test_what_changed_after_dispatch_stops_the_mail(bench: Bench, change: str, reason: str) -> None:
    contact = bench.send()
    bench.run(change)
    bench.start()
    assert bench.settled(contact, "cancelled")[1].startswith(reason)
    assert bench.sink.mails == []


def test_an_older_attempt_is_deleted_and_bad_messages_go_to_the_dead_letters_with_their_reason(
    bench: Bench,
) -> None:
    stale = bench.send()
    bench.run("UPDATE sends SET attempt = 2")
    bench.tell(stale, environment="production")
    list(bench.queues.sends.send([Outgoing("0", "not json"), Outgoing("1", '{"v": 99}')], threads=1))
    fine = bench.send("eve@people.example")
    bench.start()
    bench.settled(fine, "sent")
    assert wait_until(lambda: bench.queues.sends.dead_letters() == 3, 20)
    assert bench.row(stale)[0] == "dispatched"
    assert len(bench.sink.mails) == 1


BEFORE = ("after_receive", "after_claim", "after_rcpt")
MAYBE = ("after_transmitting", "before_dot", "after_dot", "after_answer")


@pytest.mark.parametrize("point", [*BEFORE, *MAYBE, "after_finish", "after_result"])
def test_killed_anywhere_a_mail_never_goes_out_twice(bench: Bench, point: str) -> None:
    contact = bench.send()
    killed = bench.start(CRASH_AT=point)
    assert killed.wait(30) == -signal.SIGKILL
    bench.run("UPDATE sends SET lease_until = now() - interval '1 second' WHERE status = 'claimed'")
    wait_until(lambda: False, WAIT_SECONDS + 0.5)  # the dead worker's long poll would take the next message
    bench.tell(contact)
    bench.start()
    if point in MAYBE:
        assert wait_until(lambda: bench.queues.sends.depth() == 0, 20)
        assert bench.row(contact)[0] == "transmitting"  # the sweep makes it unknown; nobody sends it again
        assert len(bench.sink.mails) <= 1
    else:
        bench.settled(contact, "sent")
        assert len(bench.sink.wait_for(1)) == 1


def test_a_worker_told_to_stop_ends_at_once_and_cleanly(bench: Bench) -> None:
    contact = bench.send()
    worker = bench.start()
    bench.settled(contact, "sent")
    worker.terminate()
    assert worker.wait(30) == 0
