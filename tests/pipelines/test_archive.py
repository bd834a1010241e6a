"""Tests the archive: old sends leave the ledger, and no contact is mailed a step again because of that."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from typer.testing import CliRunner

from sequence_cli.main import app
from sequence_pipelines.jobs.archive_old_sends import archive_old_sends
from sequence_pipelines.maintenance.archive import ArchivedBatch, archive_sends
from sequence_pipelines.planning.forecast import forecast
from sequence_pipelines.planning.repository import PlanRepository
from sequence_pipelines.planning.scenario import WhatIf
from sequence_pipelines.resources.database import Database
from sequence_store.postgres.connection import connect
from tests.pipelines.conftest import MORNING, TODAY

LONG_AGO = datetime(2026, 7, 1, tzinfo=UTC)  # after MORNING and the days of these tests
KEY = "sequence_id, contact_id, step_id, round"


def archive(world: Any, before: datetime = LONG_AGO, **options: Any) -> list[ArchivedBatch]:
    with connect(world.pipeline_url, name="test archive") as connection:
        return list(archive_sends(connection, before, **options))


def keys(world: Any, table: str) -> set[tuple[Any, ...]]:
    return set(world.connection.execute(f"SELECT {KEY} FROM {table}").fetchall())


@pytest.fixture
def mailed(world: Any) -> dict[str, int]:
    """Mail two contacts: one has completed its sequence after two mails, the other has a step left."""
    box = world.mailbox()
    short, long = (world.sequence(mailboxes=(box,), steps=2, delay=delay) for delay in (1, 3))
    completed, goes_on = world.enrol(short), world.enrol(long)
    for day in range(3):
        world.plan(MORNING + timedelta(days=day))
        world.finish()
    assert (world.enrolment(short, completed)["status"], world.enrolment(long, goes_on)["status"]) == (
        "completed",
        "active",
    )
    return {"box": box, "short": short, "long": long, "ended": completed, "goes_on": goes_on}


def test_sends_of_ended_enrolments_leave_the_ledger_and_keep_their_keys(
    world: Any, mailed: dict[str, int]
) -> None:
    before = keys(world, "sends")
    moved = archive(world)
    assert sum(batch.archived for batch in moved) == 2
    assert {row[1] for row in keys(world, "archived_sends")} == {mailed["ended"]}
    assert {row[1] for row in keys(world, "sends")} == {mailed["goes_on"]}
    assert keys(world, "sends") | keys(world, "archived_sends") == before
    assert (
        world.one(
            "SELECT count(*) FROM archived_sends WHERE status = 'sent' AND mailbox_id = %s", mailed["box"]
        )
        == 2
    )
    assert sum(batch.archived for batch in archive(world)) == 0


def test_recent_and_unfinished_sends_stay_in_the_ledger(world: Any, mailed: dict[str, int]) -> None:
    world.run(
        "UPDATE sends SET advanced_at = NULL WHERE contact_id = %s AND plan_day = %s", mailed["ended"], TODAY
    )
    assert archive(world, MORNING + timedelta(days=1)) == [
        ArchivedBatch(
            2, 0, world.one("SELECT max(send_at) + interval '1 second' FROM sends WHERE plan_day = %s", TODAY)
        )
    ]
    assert keys(world, "archived_sends") == set()


def test_the_last_thirty_days_cannot_be_archived(world: Any) -> None:
    with pytest.raises(psycopg.errors.RaiseException, match="last 30 days"):
        archive(world, datetime.now(UTC) - timedelta(days=29))


def test_batches_are_bounded_and_a_stopped_run_continues_where_it_stopped(world: Any) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(min_gap_seconds=60),), steps=1)
    for _ in range(25):
        world.enrol(sequence)
    world.plan()
    world.finish()
    world.plan(MORNING + timedelta(days=1))
    with connect(world.pipeline_url, name="test archive") as connection:
        first = next(archive_sends(connection, LONG_AGO, batch=10))
    assert (first.examined, first.archived, len(keys(world, "archived_sends"))) == (10, 10, 10)
    rest = archive(world, batch=10)
    assert [batch.archived for batch in rest] == [10, 5]
    assert len(keys(world, "archived_sends")) == 25


def test_archiving_changes_no_plan_and_no_forecast(world: Any, mailed: dict[str, int]) -> None:
    for _ in range(10):
        world.enrol(mailed["long"], next_send=TODAY + timedelta(days=3))

    def make_forecast() -> list[tuple[int, ...]]:
        with connect(world.pipeline_url, name="test forecast") as connection:
            repository = PlanRepository(connection, world.settings.address_pads)
            days = forecast(repository, world.settings, MORNING + timedelta(days=3), 7, WhatIf())
            numbers = [(d.due, d.follow_ups, d.first_mails, d.capacity) for d in days]
            connection.rollback()
        return numbers

    before = make_forecast()
    archive(world)
    assert make_forecast() == before
    assert before[0][:3] == (11, 1, 10)
    plan = world.plan(MORNING + timedelta(days=3))
    assert (len(plan.placed), int(plan.placed["follow_up"].sum())) == (11, 1)


def test_a_contact_of_the_archive_is_never_mailed_a_step_again(world: Any, mailed: dict[str, int]) -> None:
    archive(world)
    world.step(mailed["short"], 3)  # an added step reopens no completed enrolment
    for day in range(3, 6):
        world.plan(MORNING + timedelta(days=day))
    assert world.rows("contact_id = %s", mailed["ended"]) == []


@pytest.mark.parametrize(
    "change", ["status = 'active'", "status = 'paused'", "status = 'active', current_step = 1"]
)
def test_an_ended_enrolment_cannot_be_reopened_even_by_sql(
    world: Any, mailed: dict[str, int], change: str
) -> None:
    archive(world)
    with pytest.raises(psycopg.errors.CheckViolation, match="enrol it again, which raises its round"):
        world.run(f"UPDATE sequences_contacts SET {change} WHERE contact_id = %s", mailed["ended"])
    world.run(
        "UPDATE sequences_contacts SET status = 'active', round = 2, current_step = 1, next_send = %s "
        "WHERE contact_id = %s",
        TODAY + timedelta(days=3),
        mailed["ended"],
    )
    world.plan(MORNING + timedelta(days=3))
    assert [row["round"] for row in world.rows("contact_id = %s", mailed["ended"])] == [2]


def test_archived_key_stops_a_mail_even_if_the_enrolments_row_was_replaced(
    world: Any, mailed: dict[str, int], database: Any
) -> None:
    archive(world)
    world.run("DELETE FROM sequences_contacts WHERE contact_id = %s", mailed["ended"])
    world.enrol(mailed["short"], mailed["ended"], next_send=TODAY + timedelta(days=3))
    world.plan(MORNING + timedelta(days=3))
    world.run(
        "UPDATE sends SET send_at = now() - interval '1 minute', not_after = now() + interval '1 hour' "
        "WHERE contact_id = %s",
        mailed["ended"],
    )
    row = world.rows("contact_id = %s", mailed["ended"])[0]
    with database.connect("worker") as connection:
        verdict = connection.execute(
            "SELECT verdict, reason FROM claim_send(%s, %s, %s, %s, %s, %s, interval '1 minute', %s)",
            (*(row[name] for name in KEY.split(", ")), row["attempt"], uuid4(), world.settings.address_pads),
        ).fetchone()
    assert verdict == ("cancelled", "mailed_before")


def test_a_link_to_unsubscribe_works_after_its_send_was_archived(
    world: Any, mailed: dict[str, int], database: Any
) -> None:
    key = next(
        iter(keys(world, "sends") - {row for row in keys(world, "sends") if row[1] != mailed["ended"]})
    )
    archive(world)
    with database.connect("api") as connection:
        done = connection.execute(
            "SELECT unsubscribe(%s, %s, %s, %s, %s)", (*key, world.settings.address_pads)
        ).fetchone()
    assert done == (True,)
    assert world.one("SELECT count(*) FROM suppressions") == 1


def test_the_command_counts_first_and_then_moves(
    world: Any, mailed: dict[str, int], database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database.owner)
    run = CliRunner().invoke
    days = (datetime.now(UTC) - LONG_AGO).days
    assert "2 of 3 sends" in run(app, ["archive", "--older-than", f"{days}d", "--dry-run"]).output
    shown = json.loads(run(app, ["archive", "--older-than", f"{days}d", "--dry-run", "--json"]).stdout)
    assert (shown["examined"], shown["archived"], shown["written"]) == (3, 2, False)
    assert len(keys(world, "sends")) == 3
    assert "2 of 3 sends" in run(app, ["archive", "--older-than", f"{days}d"]).output
    assert len(keys(world, "archived_sends")) == 2
    rejected = run(app, ["archive", "--older-than", "30d"])
    assert rejected.exit_code == 2
    assert "at least 31d" in rejected.output


def test_job_moves_sends_older_than_its_setting_and_reports_the_count(
    world: Any, mailed: dict[str, int]
) -> None:
    days = (datetime.now(UTC) - LONG_AGO).days
    for bound, moved in ((days + 100, 0), (days, 2)):
        settings = world.settings.model_copy(update={"archive_after_days": bound})
        result = archive_old_sends.execute_in_process(
            resources={"settings": settings, "database": Database(settings)}
        )
        (event,) = [e for e in result.all_events if e.event_type_value == "STEP_OUTPUT"]
        assert event.step_output_data.metadata["archived"].value == moved
    assert len(keys(world, "archived_sends")) == 2
