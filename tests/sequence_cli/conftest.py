"""Fixtures: a database with a mailbox and contacts that are due, as the commands read it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.pipelines.conftest import World


@pytest.fixture
def world(database: Any, queues: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A mailbox that is open all day with a limit of two, and three contacts due today."""
    settings = queues.settings.pipeline
    monkeypatch.setenv("DATABASE_URL", database.owner)
    monkeypatch.setenv("PIPELINE_DATABASE_URL", database.pipeline)
    monkeypatch.setenv("READONLY_DATABASE_URL", database.readonly)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", queues.endpoint)
    monkeypatch.setenv("SENDS_QUEUE", settings.sends_queue)
    monkeypatch.setenv("DELIVERY_RESULTS_QUEUE", settings.delivery_results_queue)
    monkeypatch.setenv("API_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("PLAN_LEAD_SECONDS", "0")
    now = datetime.now(UTC)  # the planning day began an hour ago, so most of it is left at any time of day
    monkeypatch.setenv("PLAN_AT", f"{now - timedelta(hours=1):%H:%M}")
    with database.connect("owner", autocommit=True) as connection:
        world = World(connection, settings, database.pipeline)
        box = world.mailbox(
            address="box@sender.example",
            send_limit=2,
            send_start_time=f"{now - timedelta(minutes=30):%H:%M}",
            send_end_time=f"{now - timedelta(minutes=30):%H:%M}",
        )
        sequence = world.sequence(sequence_name="spring", mailboxes=(box,))
        for number in range(3):
            contact = world.contact(mail_address=f"c{number}@people.example")
            world.enrol(sequence, contact, next_send=(now - timedelta(hours=1)).date())
        yield world
