"""Tests of the standalone SQS server and of the queues' retention."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import yaml

from local_stack.ports import LOOPBACK, free_port
from local_stack.processes import end, launch, wait_ready
from sequence_store.settings import OwnerSettings
from sequence_store.sqs import Queue, sqs_client
from tests.conftest import Database, MakeSettings, Queues

COMPOSE = Path(__file__).parents[2] / "docker-compose.yaml"
DISPATCHED = """
INSERT INTO sends (sequence_id, contact_id, step_id, round, mailbox_id, due_day, plan_day, send_day,
    send_at, not_after, status, dispatched_at)
SELECT 1, 1, 1, 1, 1, d, d, d, now() + interval '5 minutes', now() + interval '2 hours', 'dispatched', now()
FROM CAST(now() AS date) d
"""


def _health_check(port: int, settings: OwnerSettings) -> list[str]:
    """Return the check of docker-compose.yaml, on which other services depend."""
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    _, _, *arguments = services["sqs"]["healthcheck"]["test"]
    code = arguments[-1].replace(":4566", f":{port}")
    code = re.sub(r"\$\{DELIVERY_RESULTS_QUEUE[^}]*\}", settings.delivery_results_queue, code)
    return [sys.executable, "-c", re.sub(r"\$\{AWS_REGION[^}]*\}", settings.aws_region, code)]


def test_standalone_sqs_creates_its_queues_and_sets_dispatched_sends_back_to_planned(
    database: Database, make_settings: MakeSettings, tmp_path: Path
) -> None:
    with database.connect() as connection:
        connection.execute(DISPATCHED)
    port = free_port()
    settings = make_settings(aws_endpoint_url_sqs=f"http://{LOOPBACK}:{port}").owner
    environment = os.environ | {
        "DATABASE_URL": database.owner,
        "AWS_ENDPOINT_URL_SQS": str(settings.aws_endpoint_url_sqs),
        "SENDS_QUEUE": settings.sends_queue,
        "DELIVERY_RESULTS_QUEUE": settings.delivery_results_queue,
    }
    log = tmp_path / "sqs.log"
    command = [sys.executable, "-m", "local_stack.sqs", "--port", str(port)]
    process = launch(command, log=log, environment=environment)
    check = _health_check(port, settings)
    try:
        wait_ready(process, lambda: subprocess.run(check, check=False).returncode == 0, log=log, seconds=60)
        client = sqs_client(settings)
        assert Queue.look_up(client, settings.sends_queue).depth() == 0
        client.close()
    finally:
        end(process, stop_signal=signal.SIGTERM)
    assert process.returncode == 0
    assert "1 sends set back to planned" in log.read_text()
    with database.connect() as connection:
        assert connection.execute("SELECT status, attempt FROM sends").fetchall() == [("planned", 2)]


def test_dead_letters_are_kept_longer_than_the_messages_that_they_were(queues: Queues) -> None:
    """A message of a standard queue keeps its age when it is dead-lettered."""
    for queue in (queues.sends, queues.delivery_results):
        kept, kept_dead = (
            int(
                queue.client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"][
                    "MessageRetentionPeriod"
                ]
            )
            for url in (queue.url, queue.dead_letter_url)
        )
        assert kept_dead == 14 * 86_400
        assert kept_dead - kept >= 7 * 86_400
