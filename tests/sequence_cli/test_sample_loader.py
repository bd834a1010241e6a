from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from sequence_cli.sample_loader import load_samples
from sequence_pipelines.planner import make_plan
from sequence_store.database import connect


@pytest.mark.parametrize("hour", [0, 4, 13, 22])
def test_whatever_the_time_of_day_sample_contacts_find_places_soon(
    database: Any, settings: Any, hour: int
) -> None:
    now = datetime(2026, 11, 24, hour, 5, tzinfo=UTC)
    assert load_samples(settings.owner, now=now) == 3000
    with connect(settings.pipeline.pipeline_database_url, name="test") as connection:
        plan = make_plan(connection, settings.pipeline, now)
    assert len(plan.placed) > 100
    assert plan.placed["send_at"].min() - now.timestamp() < 1200
    assert {"no_capacity", "pinned_mailbox_full"} & set(plan.waiting["reason"])


def test_samples_are_loaded_once_and_their_addresses_are_reserved(database: Any, settings: Any) -> None:
    load_samples(settings.owner)
    assert load_samples(settings.owner) == 0
    with database.connect("owner") as connection:
        domains = connection.execute(
            "SELECT DISTINCT split_part(mail_address, '@', 2) FROM contacts "
            "UNION SELECT DISTINCT split_part(address, '@', 2) FROM mailboxes"
        ).fetchall()
    assert all(name.endswith((".example", ".example.com")) for (name,) in domains)
