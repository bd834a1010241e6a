"""Fixtures: a team with one mailbox and one sequence on real servers, workers in threads or processes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local_stack.processes import wait_until
from sequence_store.domain.messages import DeliveryResult, SendMessage
from sequence_store.settings import WorkerSettings
from sequence_store.sqs import Outgoing
from step_mailing_worker import sqs_consumer
from step_mailing_worker.worker import Worker
from tests.conftest import Database, Queues, SmtpSink
from tests.step_mailing_worker.scripted_smtp import ScriptedSmtp

QUICK = {"smtp_timeout_seconds": 2, "smtp_final_dot_seconds": 2, "claim_lease_seconds": 30}


class ThreadWorker:
    """A worker in a thread of this process; `stop` returns when it has ended, and raises its error."""

    def __init__(self, settings: WorkerSettings, queues: Queues) -> None:
        self._queues = queues
        self._settings = settings
        self._failure: BaseException | None = None
        self._made = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._made.wait(10)

    def _run(self) -> None:
        try:
            asyncio.run(self._work())
        except BaseException as error:  # noqa: BLE001
            self._failure = error

    async def _work(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._worker = Worker(self._settings)
        self._made.set()
        await self._worker.run()

    def request_stop(self) -> None:
        """Request a stop, and send a message to end the long poll early."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._worker.stop)
            list(self._queues.sends.send([Outgoing("0", "wake up")], threads=1))

    def stop(self, seconds: float = 20) -> None:
        self.request_stop()
        self._thread.join(seconds)
        assert not self._thread.is_alive(), "the worker did not stop"
        if self._failure:
            raise self._failure


@dataclass
class Team:
    """Inserts rows by SQL, and publishes messages as the dispatcher does."""

    database: Database
    queues: Queues
    smtp: dict[str, Any]
    log: Path
    connection: psycopg.Connection[Any]
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    workers: list[ThreadWorker] = field(default_factory=list)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    sequence: int = 0
    step: int = 0
    mailbox: int = 0

    def one(self, statement: str, *parameters: Any) -> Any:
        row = self.connection.execute(statement, parameters).fetchone()  # type: ignore[arg-type]
        assert row is not None, statement
        return row[0] if len(row) == 1 else row

    def run(self, statement: str, *parameters: Any) -> int:
        return self.connection.execute(statement, parameters).rowcount  # type: ignore[arg-type]

    def enter(self) -> None:
        self.sequence = self.one("INSERT INTO sequences (sequence_name) VALUES ('welcome') RETURNING id")
        self.step = self.enter_step(1)
        self.mailbox = self.one(
            "INSERT INTO mailboxes (address, display_name, send_limit, send_start_time, send_end_time)"
            " VALUES ('ann@sender.example', 'Ann Sender', 50, '00:00', '00:00') RETURNING id"
        )

    def enter_step(
        self,
        number: int,
        subject: str | None = "Hello {{ contact.name }}",
        content: str = "Hi {{ contact.name }}",
    ) -> int:
        return int(
            self.one(
                "INSERT INTO steps (sequence_id, step_number, mail_subject, mail_content)"
                " VALUES (%s, %s, %s, %s) RETURNING id",
                self.sequence,
                number,
                subject,
                content,
            )
        )

    def contact(self, address: str = "", name: str = "Bob") -> int:
        contact = self.one(
            "INSERT INTO contacts (name, mail_address) VALUES (%s, %s) RETURNING id",
            name,
            address or f"bob{next(self.numbers)}@people.example",
        )
        self.run(
            "INSERT INTO sequences_contacts (sequence_id, contact_id, next_send)"
            " VALUES (%s, %s, current_date)",
            self.sequence,
            contact,
        )
        return int(contact)

    def dispatch(
        self,
        contact: int | None = None,
        *,
        step: int = 0,
        due_in: float = -1,
        lives: float = 3600,
        **sends: Any,
    ) -> SendMessage:
        """Insert a dispatched send and return its message without publishing it."""
        at = (datetime.now(UTC) + timedelta(seconds=due_in)).replace(microsecond=0)
        values = {
            "sequence_id": self.sequence,
            "contact_id": contact or self.contact(),
            "step_id": step or self.step,
            "round": 1,
            "mailbox_id": self.mailbox,
            "due_day": at.date(),
            "plan_day": at.date(),
            "send_day": at.date(),
            "send_at": at,
            "not_after": at + timedelta(seconds=lives),
            "status": "dispatched",
            **sends,
        }
        columns, holes = ", ".join(values), ", ".join(["%s"] * len(values))
        self.run(f"INSERT INTO sends ({columns}) VALUES ({holes})", *values.values())
        return SendMessage(
            sequence_id=self.sequence,
            contact_id=values["contact_id"],
            sequence_step_id=values["step_id"],
            round=1,
            attempt=values.get("attempt", 1),
            mailbox_id=self.mailbox,
            send_at=at,
            not_after=values["not_after"],
            environment="local",
        )

    def publish(self, *messages: SendMessage, times: int = 1) -> None:
        self.publish_raw(*(message.model_dump_json() for message in messages for _ in range(times)))

    def publish_raw(self, *bodies: str) -> None:
        told = self.queues.sends.send([Outgoing(str(n), body) for n, body in enumerate(bodies)], threads=1)
        assert sum(len(batch) for batch in told) == len(bodies)

    def send(self, **values: Any) -> SendMessage:
        message = self.dispatch(**values)
        self.publish(message)
        return message

    def settings(self, **changes: Any) -> WorkerSettings:
        return self.queues.settings.worker.model_copy(update={**QUICK, **self.smtp, **changes})

    def start(self, **changes: Any) -> ThreadWorker:
        worker = ThreadWorker(self.settings(**changes), self.queues)
        self.workers.append(worker)
        return worker

    def start_process(self, **environment: str) -> subprocess.Popen[bytes]:
        """Start a worker process that handles one message at a time.

        With more, a killed process could leave a long poll behind that receives the next message.
        """
        settings = self.settings()
        variables = {
            "WORKER_DATABASE_URL": self.database.worker,
            "AWS_ENDPOINT_URL_SQS": self.queues.endpoint,
            "SENDS_QUEUE": settings.sends_queue,
            "DELIVERY_RESULTS_QUEUE": settings.delivery_results_queue,
            "WORKER_CONCURRENCY": "1",
            "SMTP_HOST": settings.smtp_host,
            "SMTP_PORT": str(settings.smtp_port),
        }
        with self.log.open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "step_mailing_worker"],
                env=os.environ | variables | environment,
                stderr=log,
            )
        self.processes.append(process)
        return process

    def row(self, message: SendMessage) -> Any:
        """Return the status, reason and attempt of the message's send."""
        return self.one("SELECT status, reason, attempt FROM sends WHERE (contact_id, step_id) = (%s, %s)",
                        message.contact_id, message.sequence_step_id)  # fmt: skip

    def becomes(self, message: SendMessage, status: str, seconds: float = 15) -> Any:
        """Wait for the row's status; return its reason."""
        assert wait_until(lambda: self.row(message)[0] == status, seconds), self.row(message)
        return self.row(message)[1]

    def handled(self, seconds: float = 15) -> bool:
        """Wait until no message is left, visible or hidden."""
        return wait_until(lambda: self.messages() == (0, 0), seconds)

    def messages(self) -> tuple[int, int]:
        """Return the number of visible and of hidden messages."""
        answer = self.queues.client.get_queue_attributes(
            QueueUrl=self.queues.sends.url, AttributeNames=["All"]
        )
        found = answer["Attributes"]
        return int(found["ApproximateNumberOfMessages"]), int(found["ApproximateNumberOfMessagesNotVisible"])

    def results(self) -> list[str]:
        """Receive the published results and return their outcomes."""
        received = self.queues.delivery_results.receive()
        return [DeliveryResult.model_validate_json(one.body).outcome.value for one in received]

    def status_of(self, contact: int) -> str:
        return str(self.one("SELECT status FROM sequences_contacts WHERE contact_id = %s", contact))

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait(10)
        for worker in self.workers:
            worker.request_stop()
        for worker in self.workers:
            worker.stop()


@pytest.fixture
def team(
    database: Database, queues: Queues, smtp_sink: SmtpSink, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Team]:
    """A team whose mails go to `smtp_sink`."""
    monkeypatch.setattr(sqs_consumer, "RECEIVE_WAIT_SECONDS", 1)
    smtp = {"smtp_host": smtp_sink.host, "smtp_port": smtp_sink.port}
    with database.connect(autocommit=True) as connection:
        team = Team(database, queues, smtp, tmp_path / "worker.log", connection)
        team.enter()
        try:
            yield team
        finally:
            team.close()


@pytest.fixture
def scripted() -> Iterator[ScriptedSmtp]:
    """A scripted SMTP server; a test configures its team to use it with `team.smtp`."""
    server = ScriptedSmtp()
    try:
        yield server
    finally:
        server.close()
