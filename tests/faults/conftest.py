"""Fixtures for the whole chain on real servers: plan, dispatch, workers, results, reconciliation."""

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
from sequence_pipelines.dispatch.dispatcher import dispatch
from sequence_pipelines.maintenance.reconcile import reconcile_ledger
from sequence_pipelines.planning.planner import make_plan
from sequence_pipelines.results.consumer import apply_without_message, consume_results
from sequence_store.postgres.connection import connect
from sequence_store.settings import PipelineSettings
from sequence_store.sqs import Queue, sqs_client
from step_mailing_worker import sqs_consumer
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
    """Calls the work of each program as the program does; the queues are reached through `chaos`."""

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
        """Insert a sequence with an open mailbox and due contacts; return the sequence id."""
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
        """Open a new connection to the database after a restart of the server."""
        self.world.connection.close()
        wait_until(self._connected, 30)

    def _connected(self) -> bool:
        with suppress(psycopg.OperationalError):
            self.world.connection = self.database.connect("owner", autocommit=True)
            return True
        return False

    def plan(self) -> None:
        """Plan the day and make every planned send due now."""
        with connect(self.database.pipeline, name="test planner") as connection:
            make_plan(connection, self.settings, self.now())
        # truncated: the column rounds to whole seconds, and a send in the future is published with a delay
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
        """Run dispatch, results and reconciliation, as sensors and schedules do; each may fail."""
        for work in (self.dispatch, self.results, self.reconcile):
            with suppress(BotoCoreError, ClientError, psycopg.OperationalError):
                work()

    def dispatch(self) -> int:
        with connect(self.database.pipeline, name="test dispatch", autocommit=True) as connection:
            return dispatch(connection, self.queue("sends_queue"), self.settings).sent

    def results(self) -> None:
        with connect(self.database.pipeline, name="test results") as connection:
            consume_results(connection, self.queue("delivery_results_queue"), self.settings)

    def reconcile(self) -> None:
        with connect(self.database.pipeline, name="test reconcile") as connection:
            reconcile_ledger(connection, self.settings)
            apply_without_message(connection, self.settings)

    def queue(self, setting: str) -> Queue:
        return Queue.look_up(sqs_client(self.settings), getattr(self.settings, setting))

    def run_until(self, condition: Callable[[], bool], seconds: float = 120) -> None:
        def tick_and_check() -> bool:
            self.tick()
            return condition()

        assert wait_until(tick_and_check, seconds), (self.statuses(), self.chaos.injected)

    def statuses(self) -> Counter[str]:
        return Counter(
            dict(self.world.connection.execute("SELECT status, count(*) FROM sends GROUP BY 1").fetchall())
        )

    def advanced(self) -> int:
        return int(self.world.one("SELECT count(*) FROM sends WHERE advanced_at IS NOT NULL"))

    def assert_each_was_mailed_once(self, contacts: int) -> None:
        """Assert that every contact got one mail, is one step further, and that no send is live."""
        mailed = Counter(mail.rcpt_to[0] for mail in self.sink.mails)
        assert len(mailed) == contacts
        assert set(mailed.values()) == {1}
        assert self.statuses() == {"sent": contacts}
        steps = self.world.connection.execute(
            "SELECT current_step, status, count(*) FROM sequences_contacts GROUP BY 1, 2"
        ).fetchall()
        assert steps == [(2, "active", contacts)]
        self.assert_all_invariants_hold()

    def assert_all_invariants_hold(self) -> None:
        """Check the recorded history and the mails that the sink accepted against the invariants."""
        accepted = accepted_by(self.sink.mails, self.settings)
        assert find_violations(self.world.connection, self.settings, accepted) == []

    def close(self) -> None:
        self.chaos.rest()
        for worker in self.workers:
            worker.request_stop()
        for worker in self.workers:
            worker.stop()


@pytest.fixture
def chain(
    database: Database, queues: Queues, smtp_sink: SmtpSink, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Chain]:
    monkeypatch.setattr(sqs_consumer, "RECEIVE_WAIT_SECONDS", 1)
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
