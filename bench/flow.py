"""Measures dispatch and the processing of results, the two jobs with one run at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import migrations
from bench.worker import servers
from local_stack.postgres import OWNER
from sequence_pipelines.dispatch.dispatcher import dispatch
from sequence_pipelines.results.consumer import apply_without_message, consume_results
from sequence_store.domain.messages import DeliveryResult
from sequence_store.domain.states import Outcome
from sequence_store.postgres.connection import connect
from sequence_store.settings import PipelineSettings
from sequence_store.sqs import Outgoing, Queue, create_queues, sqs_client

ROWS = 20_000
DELAY_SECONDS = 0.01

FILL = """
INSERT INTO sequences (sequence_name) SELECT 's' || n FROM generate_series(1, 100) n;
INSERT INTO steps (sequence_id, step_number, mail_content, delay_days)
SELECT s.id, n, 'Hi', n FROM sequences s, generate_series(1, 2) n;
INSERT INTO contacts (name, mail_address)
SELECT 'c' || n, 'c' || n || '@people.example' FROM generate_series(1, {rows}) n;
INSERT INTO sequences_contacts (sequence_id, contact_id, next_send)
SELECT 1 + n % 100, n, current_date FROM generate_series(1, {rows}) n;
INSERT INTO sends (sequence_id, contact_id, step_id, round, mailbox_id, due_day, plan_day, send_day, send_at,
    not_after)
SELECT e.sequence_id, e.contact_id, st.id, 1, 1 + e.contact_id % 1000, current_date, current_date,
    current_date, now() + e.contact_id % 600 * interval '1 second', now() + interval '2 hours'
FROM sequences_contacts e JOIN steps st ON st.sequence_id = e.sequence_id AND st.step_number = 1 ORDER BY 9;
VACUUM ANALYZE
"""


class SlowClient:
    """Wraps an SQS client; each call takes `seconds` longer."""

    def __init__(self, client: Any, seconds: float) -> None:
        self._client, self._seconds = client, seconds

    def __getattr__(self, name: str) -> Any:
        def call(**parameters: Any) -> Any:
            time.sleep(self._seconds)
            return getattr(self._client, name)(**parameters)

        return call


def run(rows: int = ROWS) -> None:
    """Print rows per second of dispatch, and of results applied by message and without one."""
    with servers() as bench:
        for delay in (0.0, DELAY_SECONDS):
            name = f"flow_{round(1000 * delay)}"
            bench.postgres.create_database(name)
            url = bench.postgres.url(OWNER, name)
            migrations.upgrade(url)
            settings = PipelineSettings.model_validate(
                {
                    "pipeline_database_url": url,
                    "aws_endpoint_url_sqs": bench.sqs,
                    "sends_queue": f"{name}-sends",
                    "delivery_results_queue": f"{name}-results",
                }
            )
            _measure(settings, rows, delay)


def _measure(settings: PipelineSettings, rows: int, delay: float) -> None:
    client = sqs_client(settings)
    create_queues(client, settings)
    sends, results = (
        replace(queue, client=cast("Any", SlowClient(client, delay)))
        for queue in (
            Queue.look_up(client, settings.sends_queue),
            Queue.look_up(client, settings.delivery_results_queue),
        )
    )
    with connect(settings.pipeline_database_url, name="bench", autocommit=True) as connection:
        for statement in FILL.format(rows=rows).split(";"):
            connection.execute(statement.encode())
        dispatching = _seconds(lambda: dispatch(connection, sends, settings).sent, rows)
        key = "sequence_id, contact_id, step_id, round"
        sent = connection.execute(
            f"UPDATE sends SET status = 'sent', finished_at = now() RETURNING {key}".encode()
        ).fetchall()
        _publish(Queue.look_up(client, settings.delivery_results_queue), sent[: rows // 2])
    with connect(settings.pipeline_database_url, name="bench") as connection:
        by_message = _seconds(
            lambda: consume_results(connection, results, settings).applied.advanced, rows // 2
        )
        without_message = _seconds(
            lambda: apply_without_message(connection, settings).advanced, rows - rows // 2
        )
    print(
        f"an SQS request takes {1000 * delay:.0f} ms longer: {rows / dispatching:,.0f} sends/s dispatched, "
        f"{rows / 2 / by_message:,.0f} results/s by message, "
        f"{rows / 2 / without_message:,.0f} without a message"
    )


def _publish(queue: Queue, keys: list[tuple[Any, ...]]) -> None:
    bodies = (
        DeliveryResult(
            sequence_id=key[0],
            contact_id=key[1],
            sequence_step_id=key[2],
            round=key[3],
            attempt=1,
            outcome=Outcome.SENT,
        ).model_dump_json()
        for key in keys
    )
    for _ in queue.send(Outgoing(str(number), body) for number, body in enumerate(bodies)):
        pass


def _seconds(work: Callable[[], int], expected: int) -> float:
    started = time.perf_counter()
    done = work()
    seconds = time.perf_counter() - started
    assert done == expected, f"{done} of {expected}"
    return seconds
