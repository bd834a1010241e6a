"""Queues belong to one environment: their names carry it, and a tag of another one is refused."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from sequence_pipelines.resources.sqs import Queues as PipelineQueues
from sequence_store.errors import QueueDiffersError, QueueForeignError, SettingsError
from sequence_store.settings import Settings, read_settings
from sequence_store.sqs import DEAD_LETTER_SUFFIX, ENVIRONMENT_TAG, Queue, create_queues, sqs_client
from step_mailing_worker.worker import Worker
from tests.conftest import Queues

OWN = {"sequence_environment": "production", "address_key": "own"}


@pytest.mark.parametrize("environment", ["local", "production", "staging-2"])
def test_names_of_the_queues_carry_the_environment(monkeypatch: pytest.MonkeyPatch, environment: str) -> None:
    monkeypatch.setenv("SEQUENCE_ENVIRONMENT", environment)
    monkeypatch.setenv("ADDRESS_KEY", "own")
    settings = read_settings(Settings)
    assert settings.sends_queue == f"sequence-{environment}-sends"
    assert settings.delivery_results_queue == f"sequence-{environment}-delivery-results"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SENDS_QUEUE", "with space"),
        ("SENDS_QUEUE", "x" * 77),
        ("DELIVERY_RESULTS_QUEUE", "a.fifo"),
        ("SEQUENCE_ENVIRONMENT", "two words"),
        ("SEQUENCE_ENVIRONMENT", "x" * 41),
    ],
)
def test_name_that_sqs_refuses_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("ADDRESS_KEY", "own")
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        read_settings(Settings)


@pytest.fixture
def named(sqs: str) -> Iterator[Any]:
    """Return settings of production with queues of their own, and delete these afterwards."""
    names = {"sends_queue": f"sends-{uuid4().hex}", "delivery_results_queue": f"results-{uuid4().hex}"}
    settings = Settings(aws_endpoint_url_sqs=sqs, **OWN, **names)
    client = sqs_client(settings)
    yield settings, client
    for name in names.values():
        for one in (name, name + DEAD_LETTER_SUFFIX):
            for url in client.list_queues(QueueNamePrefix=one).get("QueueUrls", []):
                client.delete_queue(QueueUrl=url)
    client.close()


def tags(client: Any, name: str) -> dict[str, str]:
    url = client.get_queue_url(QueueName=name)["QueueUrl"]
    return dict(client.list_queue_tags(QueueUrl=url).get("Tags", {}))


def test_created_queues_are_tagged_and_refused_by_any_other_environment(named: Any) -> None:
    settings, client = named
    create_queues(client, settings)
    for name in (settings.sends_queue, settings.delivery_results_queue):
        assert (
            tags(client, name) == tags(client, name + DEAD_LETTER_SUFFIX) == {ENVIRONMENT_TAG: "production"}
        )
        Queue.look_up(client, name, environment="production")
        with pytest.raises(
            QueueForeignError, match=rf"{name}.*'production'.*SEQUENCE_ENVIRONMENT is 'staging'"
        ):
            Queue.look_up(client, name, environment="staging")
    with pytest.raises(QueueForeignError):
        create_queues(client, settings.model_copy(update={"sequence_environment": "staging"}))


@pytest.mark.parametrize("suffix", ["", DEAD_LETTER_SUFFIX])
@pytest.mark.parametrize(
    ("found", "refused"),
    [
        ({}, False),
        ({"environment": "production"}, False),
        ({"environment": "staging"}, True),
        ({"sequence_environment": "staging"}, True),
        ({"sequence_environment": "production", "environment": "prod"}, False),
        ({"sequence_environment": "staging", "environment": "production"}, True),
    ],
)
def test_tag_of_the_queue_or_of_its_dead_letter_queue_decides(
    queues: Queues, found: dict[str, str], refused: bool, suffix: str
) -> None:
    name = queues.settings.worker.sends_queue
    if found:
        url = queues.client.get_queue_url(QueueName=name + suffix)["QueueUrl"]
        queues.client.tag_queue(QueueUrl=url, Tags=found)
    if refused:
        with pytest.raises(QueueForeignError):
            Queue.look_up(queues.client, name, environment="production")
    else:
        Queue.look_up(queues.client, name, environment="production")


@pytest.mark.parametrize("queue", ["sends", "delivery_results"])
def test_worker_and_pipelines_refuse_a_foreign_queue_at_the_start(queues: Queues, queue: str) -> None:
    url = getattr(queues, queue).url
    queues.client.tag_queue(QueueUrl=url, Tags={ENVIRONMENT_TAG: "production"})

    async def start() -> None:
        await asyncio.wait_for(Worker(queues.settings.worker).run(), 20)

    with pytest.raises(QueueForeignError, match="'production'"):
        asyncio.run(start())
    with pytest.raises(QueueForeignError, match="'production'"):
        getattr(PipelineQueues(queues.settings.pipeline), queue)()


def test_existing_queue_with_other_attributes_is_named_with_the_command_that_changes_it(named: Any) -> None:
    settings, client = named
    create_queues(client, settings)
    create_queues(client, settings)  # the same attributes: nothing to say
    url = client.get_queue_url(QueueName=settings.sends_queue)["QueueUrl"]
    client.set_queue_attributes(
        QueueUrl=url, Attributes={"VisibilityTimeout": "30", "MessageRetentionPeriod": "600"}
    )
    with pytest.raises(QueueDiffersError) as refused:
        create_queues(client, settings)
    said = str(refused.value)
    assert settings.sends_queue in said
    assert "VisibilityTimeout is 30, not 180" in said
    assert "MessageRetentionPeriod is 600, not 345600" in said
    assert "RedrivePolicy" not in said
    command = shlex.split(said[said.index("aws sqs") :])
    assert command[:5] == ["aws", "sqs", "set-queue-attributes", "--queue-url", url]
    client.set_queue_attributes(QueueUrl=url, Attributes=json.loads(command[-1]))
    create_queues(client, settings)
