"""The benchmark's SQS endpoint answers every call of the product's client."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_stack.ports import LOOPBACK, answers, free_port
from local_stack.processes import end, launch, wait_ready
from sequence_store.errors import QueueForeignError, QueueMissingError
from sequence_store.settings import Settings
from sequence_store.sqs import Outgoing, Queue, create_queues, sqs_client

ROOT = Path(__file__).parents[2]


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[str]:
    port, log = free_port(), tmp_path / "log"
    server = launch([sys.executable, str(ROOT / "bench" / "quick_sqs.py"), str(port)], log=log)
    try:
        wait_ready(server, lambda: answers(port), log=log, seconds=20)
        yield f"http://{LOOPBACK}:{port}"
    finally:
        end(server)


def test_benchmark_can_create_look_up_send_receive_and_delete(endpoint: str) -> None:
    settings = Settings(aws_endpoint_url_sqs=endpoint, sequence_environment="bench", address_key="own")
    client = sqs_client(settings)
    with pytest.raises(QueueMissingError):
        Queue.look_up(client, settings.sends_queue)
    for _ in range(2):
        create_queues(client, settings)
    queue = Queue.look_up(client, settings.sends_queue, environment="bench")
    with pytest.raises(QueueForeignError):
        Queue.look_up(client, settings.sends_queue, environment="another")
    assert list(queue.send([Outgoing("first", "a body")])) == [["first"]]
    (message,) = queue.receive(wait_seconds=1)
    assert message.body == "a body"
    queue.hide(message, 0)
    (again,) = queue.receive(wait_seconds=1)
    queue.delete([again])
    assert not queue.receive()
    client.close()
