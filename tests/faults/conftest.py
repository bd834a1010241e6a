"""The whole chain on real servers with faults in between: plan, dispatch, workers, results, reconciliation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from local_stack.processes import wait_until
from sequence_pipelines.assets.delivery_results import drain, sweep
from sequence_pipelines.dispatch.dispatcher import dispatch
from sequence_pipelines.jobs.reconcile import reconcile_ledger
from sequence_pipelines.planning.planner import make_plan
from sequence_store.postgres.connection import connect
from sequence_store.settings import PipelineSettings
from sequence_store.sqs import Queue, sqs_client
from step_mailing_worker import sqs_consumer as inbox
from tests.conftest import Database, Queues, SmtpSink
from tests.faults.chaotic_sqs import ChaoticSqs, chaotic_sqs
from tests.history import accepted_by, find_violations, record_history
from tests.pipelines.conftest import World
from tests.step_mailing_worker.conftest import ThreadWorker

VISIBILITY_SECONDS = 2
QUICK = {
    "claim_lease_seconds": 30,
    "soft_failure_retry_seconds": 1,
}


@dataclass
class Chain:
    """All programs' work, each called as its program calls it; the queues are reached through `chaos`."""

    database: Database
    queues: Queues
    chaos: ChaoticSqs
    sink: SmtpSink
    world: World
    workers: list[ThreadWorker] = field(default_factory=list)
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> PipelineSettings:
        return self.world.settings.model_copy(update={"aws_endpoint_url_sqs": self.chaos.url, **self.changes})

    def enrol(self, contacts: int, *, steps: int = 2) -> int:
        """Enter a sequence with an open mailbox and due contacts; return the sequence."""
        mailbox = self.world.mailbox(send_start_time="00:00", send_end_time="00:00", send_limit=10_000)
        sequence = self.world.sequence(steps=steps, mailboxes=(mailbox,))
        for _ in range(contacts):
            self.world.enrol(sequence, next_send=self.today)
        return sequence

    @property
    def today(self) -> Any:
        return self.world.settings.calendar.day_of(self.now())

    @staticmethod
    def now() -> datetime:
        return datetime.now(UTC)

    def reconnect(self) -> None:
        """Look at the database over a new connection: the server was restarted."""
        self.world.connection.close()
        wait_until(self._connected, 30)

    def _connected(self) -> bool:
        with suppress(psycopg.OperationalError):
            self.world.connection = self.database.connect("owner", autocommit=True)
            return True
        return False

    def plan(self) -> None:
        """Plan the day, and let the minute of every place come: nobody waits for the afternoon here."""
        with connect(self.database.pipeline, name="test planner") as connection:
            make_plan(connection, self.settings, self.now())
        # cut, since the column's whole seconds round up: a place half a second ahead is a message with a delay
        self.world.run(
            "UPDATE sends SET send_at = date_trunc('second', clock_timestamp()) WHERE status = 'planned'"
        )

    def start_worker(self, **changes: Any) -> ThreadWorker:
        settings = self.queues.settings.worker.model_copy(
            update={
                **QUICK,
                "aws_endpoint_url_sqs": self.chaos.url,
                "smtp_host": self.sink.host,
                "smtp_port": self.sink.port,
                **changes,
            }
        )
        self.workers.append(ThreadWorker(settings, self.queues))
        return self.workers[-1]

    def tick(self) -> None:
        """Do what the sensors and the schedule start: dispatch, results, reconciliation. A run may fail."""
        for work in (self.dispatch, self.results, self.reconcile):
            with suppress(BotoCoreError, ClientError, psycopg.OperationalError):
                work()

    def dispatch(self) -> int:
        with connect(self.database.pipeline, name="test dispatch", autocommit=True) as connection:
            return dispatch(connection, self.queue("sends_queue"), self.settings).sent

    def results(self) -> None:
        with connect(self.database.pipeline, name="test results") as connection:
            drain(connection, self.queue("delivery_results_queue"), self.settings)

    def reconcile(self) -> None:
        with connect(self.database.pipeline, name="test reconcile") as connection:
            reconcile_ledger(connection, self.settings)
            sweep(connection, self.settings)

    def queue(self, setting: str) -> Queue:
        return Queue.look_up(sqs_client(self.settings), getattr(self.settings, setting))

    def run_until(self, condition: Callable[[], bool], seconds: float = 120) -> None:
        def look() -> bool:
            self.tick()
            return condition()

        assert wait_until(look, seconds), (self.statuses(), self.chaos.injected)

    def statuses(self) -> Counter[str]:
        return Counter(
            dict(self.world.connection.execute("SELECT status, count(*) FROM sends GROUP BY 1").fetchall())
        )

    def advanced(self) -> int:
        return int(self.world.one("SELECT count(*) FROM sends WHERE advanced_at IS NOT NULL"))

    def assert_each_was_mailed_once(self, contacts: int) -> None:
        """Everybody has one mail, is one step further, and nothing is left on the way."""
        mailed = Counter(mail.rcpt_to[0] for mail in self.sink.mails)
        assert len(mailed) == contacts
        assert set(mailed.values()) == {1}
        assert self.statuses() == {"sent": contacts}
        steps = self.world.connection.execute(
            "SELECT current_step, status, count(*) FROM sequences_contacts GROUP BY 1, 2"
        ).fetchall()
        assert steps == [(2, "active", contacts)]
        self.assert_promises_are_kept()
        self.assert_every_promise_is_kept()

    def assert_every_promise_is_kept(self) -> None:
        """Hold all that was recorded against the invariants, with what the sink accepted."""
        accepted = accepted_by(self.sink.mails, self.settings)
        assert find_violations(self.world.connection, self.settings, accepted) == []

    def assert_promises_are_kept(self) -> None:
        """Hold all that was recorded against the invariants."""
        accepted = accepted_by(self.sink.mails, self.settings)
        assert find_violations(self.world.connection, self.settings, accepted) == []

    def close(self) -> None:
        self.chaos.rest()
        for worker in self.workers:
            worker.ask_to_stop()
        for worker in self.workers:
            worker.stop()


@pytest.fixture
def chain(
    database: Database, queues: Queues, smtp_sink: SmtpSink, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Chain]:
    monkeypatch.setattr(inbox, "RECEIVE_WAIT_SECONDS", 1)
    for queue in (queues.sends, queues.delivery_results):
        queues.client.set_queue_attributes(
            QueueUrl=queue.url, Attributes={"VisibilityTimeout": str(VISIBILITY_SECONDS)}
        )
    settings = queues.settings.pipeline.model_copy(
        update={"plan_lead_seconds": 0, "vanished_after_seconds": 10}
    )
    with ExitStack() as stack:
        chaos = stack.enter_context(chaotic_sqs(queues.endpoint, seed=20260615))
        connection = stack.enter_context(database.connect("owner", autocommit=True))
        chain = Chain(database, queues, chaos, smtp_sink, World(connection, settings, database.pipeline))
        stack.callback(lambda: chain.world.connection.close())  # noqa: PLW0108  # a restart replaces it
        stack.callback(chain.close)
        record_history(connection)
        yield chain
