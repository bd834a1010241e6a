"""Tests assets, jobs and sensors as Dagster runs them, on a real database and real queues."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from local_stack.processes import wait_until
from sequence_pipelines.assets.sending_health import (
    mailboxes_are_configured,
    no_dead_letters,
    promises_kept,
    sending_health,
    sequences_can_mail,
)
from sequence_pipelines.definitions import asset_modules, defs
from sequence_pipelines.jobs import apply_delivery_results
from sequence_pipelines.jobs.apply_delivery_results import delivery_results_sensor
from sequence_pipelines.jobs.timed_dispatch import request_ahead, timed_dispatch_sensor
from sequence_pipelines.maintenance.reconcile import reconcile_ledger
from sequence_pipelines.resources.clock import Clock
from sequence_pipelines.resources.database import Database
from sequence_pipelines.resources.parquet import ParquetIOManager
from sequence_pipelines.resources.sqs import Queues
from sequence_pipelines.results import consumer
from sequence_pipelines.results.consumer import consume_results
from sequence_store.domain.explanations import explain
from sequence_store.domain.messages import DeliveryResult
from sequence_store.domain.states import Deferral, Outcome
from sequence_store.sqs import Outgoing
from sequence_store.tracing.traces import OFF, Traces

TODAY = date(2026, 6, 15)
MORNING = "2026-06-15T04:00:30Z"
PLAN = ["due_contacts", "mailbox_capacity", "send_plan"]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def run(world: Any, queues: Any, instance: dg.DagsterInstance) -> Any:
    """Return a function that materializes assets of a partition with the resources of the definitions."""
    settings = queues.settings.pipeline

    def materialize(
        *names: str,
        day: date | None = TODAY,
        now: str | None = MORNING,
        fails: bool = False,
        config: Any = None,
        traces: Traces = OFF,
    ) -> Any:
        assets = dg.load_assets_from_modules(asset_modules)
        checks = dg.load_asset_checks_from_modules(asset_modules)
        keys = [dg.AssetKey(name) for name in names]
        return dg.materialize(
            [*assets, *checks],
            selection=dg.AssetSelection.assets(*keys),
            partition_key=day.isoformat() if day else None,
            instance=instance,
            raise_on_error=not fails,
            run_config=config,
            resources={
                "settings": settings,
                "database": Database(settings),
                "queues": Queues(settings),
                "traces": traces,
                "clock": Clock(now=now),
                "io_manager": ParquetIOManager(settings.asset_store),
            },
        )

    return materialize


def metadata(result: Any, name: str) -> dict[str, Any]:
    (event,) = list(result.asset_materializations_for_node(name))
    return {key: value.value for key, value in event.metadata.items()}


def test_forecast_shows_the_coming_days_and_the_effect_of_a_change(world: Any, run: Any) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(send_limit=5),), steps=1)
    for _ in range(12):
        world.enrol(sequence)
    shown = metadata(run("send_forecast", day=None), "send_forecast")
    days = [record.data for record in shown["days"].records]
    assert [day["planned"] for day in days[:4]] == [5, 5, 2, 0]
    assert [day["waiting"] for day in days[:4]] == [7, 2, 0, 0]
    assert (shown["planned"], shown["most_waiting"], shown["sequences_that_wait_to_the_end"]) == (12, 7, 0)
    assert "data:image/png;base64," in shown["days_to_come"]
    assert shown["queues"].records[0].data["queue_empty_on"] == "2026-06-17"
    config = {"ops": {"send_forecast": {"config": {"days": 2, "add_mailboxes": 1, "limit": 60}}}}
    changed = metadata(run("send_forecast", day=None, config=config), "send_forecast")
    assert (changed["planned"], changed["most_waiting"]) == (12, 0)


def test_definitions_load_and_every_run_has_a_bound() -> None:
    dg.Definitions.validate_loadable(defs)
    for job in defs.resolve_all_job_defs():
        if not job.name.startswith("__"):
            assert job.tags["sequences/job"] == job.name
            assert int(job.tags["dagster/max_runtime"]) > 0


def test_the_schedule_plans_the_day_that_begins_at_its_tick() -> None:
    schedule = defs.resolve_schedule_def("daily_plan_schedule")
    tick = datetime(2026, 6, 15, 4, 0, tzinfo=UTC)
    data = schedule.evaluate_tick(dg.build_schedule_context(scheduled_execution_time=tick))
    assert [request.partition_key for request in data.run_requests] == ["2026-06-15"]
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING


def test_a_day_is_materialized_with_its_numbers_and_its_checks_pass(world: Any, run: Any) -> None:
    box = world.mailbox(send_limit=3)
    sequence = world.sequence(mailboxes=(box,))
    for _ in range(5):
        world.enrol(sequence)
    result = run(*PLAN)
    plan = metadata(result, "send_plan")
    assert (plan["planned"], plan["sent"], plan["waiting"], plan["lost"]) == (3, 0, 2, 0)
    assert (plan["added_by_this_run"], plan["utilisation_percent"]) == (3, 100.0)
    assert metadata(result, "due_contacts")["contacts_due"] == 5
    checks = {check.check_name: check.passed for check in result.get_asset_check_evaluations()}
    assert all(checks.values())
    assert {"within_limits", "inside_windows", "one_mail_a_day", "follow_ups_first"} <= set(checks)


def test_a_day_shows_its_charts_and_links(world: Any, run: Any) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(send_limit=3), world.mailbox()))
    for _ in range(5):
        world.enrol(sequence)
    shown = metadata(run(*PLAN), "send_plan")
    for name in ("sends_by_hour", "mailbox_use"):
        drawn = base64.b64decode(re.fullmatch(r"!\[.+\]\(data:image/png;base64,(.+)\)", shown[name])[1])
        assert drawn.startswith(b"\x89PNG")
        assert len(drawn) < 10_000
    assert shown["runbook"].endswith("runbook.md#what-waits-and-why")
    assert shown["api"].endswith("/docs")
    text = json.dumps({key: str(value) for key, value in shown.items()})
    assert "people.example" not in text
    assert "Contact" not in text


EVERYWHERE = ("api", "runbook", "path")  # links, and where the frame is stored


def test_each_number_is_explained_on_the_page_of_its_asset(world: Any, run: Any) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(),))
    world.enrol(sequence)
    results = [run(*PLAN, "timed_messages"), run("delivery_results")]
    results += [run(name, day=None) for name in ("sending_health", "send_forecast")]
    descriptions = {spec.key.to_user_string(): spec.description for spec in defs.resolve_all_asset_specs()}
    explained = 0
    for result in results:
        for event in result.get_asset_materialization_events():
            name = event.asset_key.to_user_string()
            for key in event.materialization.metadata:
                if key not in EVERYWHERE and not key.startswith(("dagster/", "seconds_")):
                    assert f"`{key}`" in descriptions[name], f"{name} does not explain {key}"
                    explained += 1
    assert explained > 50


def test_texts_of_the_ui_need_no_other_page() -> None:
    """The words of the code and of the documentation that a description does not define."""
    texts = [spec.description or "" for spec in defs.resolve_all_asset_specs()]
    texts += [spec.description or "" for asset in defs.asset_checks or () for spec in asset.check_specs]
    for several in (defs.jobs, defs.schedules, defs.sensors):
        texts += [one.description or "" for one in several or ()]
    found = {word for text in texts for word in JARGON if re.search(word, text, re.IGNORECASE)}
    assert found == set()


JARGON = ("ledger", "open pieces?", "advanced before", "places that", r"gives? way", "swept up", "retaken")


def kind_of(stored: pa.DataType) -> str:
    if pa.types.is_timestamp(stored):
        assert stored.tz == "UTC"
        return "timestamp"
    names = {pa.date32(): "date", pa.bool_(): "bool"}
    return names.get(stored) or ("category" if pa.types.is_dictionary(stored) else str(stored))


def test_column_schemas_match_frames_and_tables(world: Any, run: Any) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(),))
    world.enrol(sequence)
    result = run(*PLAN)
    for spec in defs.resolve_all_asset_specs():
        if schema := spec.metadata.get("dagster/column_schema"):
            shown = {column.name: column.type for column in schema.columns}
            if spec.key.to_user_string() in PLAN:
                stored = pq.read_schema(metadata(result, spec.key.to_user_string())["path"])
                assert shown == {field.name: kind_of(field.type) for field in stored}
            else:
                table = spec.metadata["dagster/table_name"].rpartition(".")[2]
                there = world.connection.execute(
                    "SELECT column_name FROM information_schema.columns WHERE table_name = %s", (table,)
                ).fetchall()
                assert set(shown) <= {name for (name,) in there}
        assert spec.description
        assert spec.owners
        assert spec.kinds


def test_a_dry_run_shows_the_plan_and_writes_nothing(
    world: Any, run: Any, instance: dg.DagsterInstance
) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(send_limit=3),))
    for _ in range(5):
        world.enrol(sequence)
    before = world.ledger()
    config = {"ops": {"send_plan": {"config": {"dry_run": True}}}}
    result = run(*PLAN, "timed_messages", config=config)
    assert world.ledger() == before
    assert result.asset_materializations_for_node("send_plan") == []
    assert result.asset_materializations_for_node("timed_messages") == []
    (seen,) = result.asset_observations_for_node("send_plan")
    assert (seen.metadata["planned"].value, seen.metadata["waiting"].value) == (3, 2)
    assert seen.metadata["dry_run"].value is True
    assert not instance.get_materialized_partitions(dg.AssetKey("send_plan"))
    run(*PLAN)
    assert len(world.rows()) == 3


def test_a_plan_that_breaks_an_invariant_is_shown_but_not_written(
    world: Any, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.enrol(world.sequence(mailboxes=(world.mailbox(),)))
    from sequence_pipelines.planning import planner

    found = planner.find_violations
    monkeypatch.setattr(planner, "find_violations", lambda *rows: found(*rows) | {"within_limits": 1})
    result = run(*PLAN, "timed_messages", fails=True)
    assert not result.success
    assert world.rows() == []
    assert result.asset_materializations_for_node("send_plan") == []
    (seen,) = result.asset_observations_for_node("send_plan")
    assert seen.metadata["planned"].value == 1


def test_a_day_with_nothing_due_still_materializes(run: Any) -> None:
    assert metadata(run(*PLAN), "send_plan")["planned"] == 0


def test_missed_day_is_planned_into_the_rest_of_today(world: Any, run: Any) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(),))
    missed = TODAY - timedelta(days=3)
    world.enrol(sequence, next_send=missed)
    world.enrol(sequence)
    result = run(*PLAN, day=missed, now="2026-06-15T12:00:00Z")
    assert {row["plan_day"] for row in world.rows()} == {TODAY}
    assert all(row["send_at"] >= datetime(2026, 6, 15, 12, 1, tzinfo=UTC) for row in world.rows())
    assert metadata(result, "send_plan")["fell_due_on_this_day"] == 1
    before = world.ledger()
    for day in (TODAY, missed, TODAY - timedelta(days=1)):
        run(*PLAN, day=day, now="2026-06-15T12:00:30Z")
    assert world.ledger() == before


def test_each_contact_that_fell_due_on_a_day_is_reported_once(world: Any, run: Any) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(send_limit=2),))
    world.enrol(sequence, next_send=TODAY - timedelta(days=1))
    for _ in range(3):
        world.enrol(sequence)
    run(*PLAN)
    world.finish("unknown")
    shown = metadata(run(*PLAN), "send_plan")
    assert shown["fell_due_on_this_day"] == 3
    became, waits = (
        [record.data for record in shown[name].records] for name in ("what_became_of_them", "why_they_wait")
    )
    assert [(row["status"], row["sends"]) for row in became] == [("unknown", 1)]
    assert [(row["reason"], row["contacts"], row["explanation"]) for row in waits] == [
        ("no_capacity", 2, explain(Deferral.NO_CAPACITY))
    ]


def test_bad_rows_show_in_the_checks_and_the_plan_goes_on(world: Any, run: Any) -> None:
    fine = world.sequence(mailboxes=(world.mailbox(),))
    world.enrol(fine)
    world.enrol(fine, world.contact(mail_address="nonsense"))
    world.enrol(world.sequence(mailboxes=(world.mailbox(time_zone="Mars/Base"),)))
    world.sequence(steps=0)
    result = run(*PLAN)
    failed = {check.check_name for check in result.get_asset_check_evaluations() if not check.passed}
    assert failed == {"addresses_are_valid"}
    known = {"settings": world.settings, "database": Database(world.settings)}
    assert not sequences_can_mail(**known).passed
    assert not mailboxes_are_configured(**known).passed
    assert len(world.rows()) == 1


def plan_now(world: Any, *, offset: timedelta = timedelta(seconds=30), count: int = 1) -> list[int]:
    """Plan `count` contacts for the current day, then move their send_at to `offset` from now."""
    box = world.mailbox(send_start_time="00:00", send_end_time="00:00")
    sequence = world.sequence(mailboxes=(box,))
    contacts = [
        world.enrol(sequence, next_send=datetime.now(UTC).date() - timedelta(days=1)) for _ in range(count)
    ]
    plan = world.plan(
        datetime.now(UTC),
        plan_at=(datetime.now(UTC) - timedelta(hours=1)).time().replace(second=0, microsecond=0),
    )
    assert len(plan.placed) == count
    world.run("UPDATE sends SET send_at = now() + %s, not_after = now() + interval '1 hour'", offset)
    return contacts


def bodies(queue: Any) -> list[dict[str, Any]]:
    found = []
    while messages := queue.receive():
        found += [json.loads(message.body) for message in messages]
    return found


def test_rows_become_messages_of_ids_and_times_once(world: Any, run: Any, queues: Any) -> None:
    contacts = plan_now(world, offset=timedelta(seconds=-5), count=23)
    result = run("timed_messages", now=None)
    assert metadata(result, "timed_messages")["messages"] == 23
    assert {row["status"] for row in world.rows()} == {"dispatched"}
    assert metadata(run("timed_messages", now=None), "timed_messages")["messages"] == 0
    found = bodies(queues.sends)
    assert sorted(body["contact_id"] for body in found) == sorted(contacts)
    assert set(found[0]) == {
        "v",
        "sequence_id",
        "contact_id",
        "sequence_step_id",
        "round",
        "mailbox_id",
        "send_at",
        "not_after",
        "attempt",
        "environment",
    }


def test_rows_far_ahead_wait_and_overdue_ones_expire(world: Any, run: Any, queues: Any) -> None:
    plan_now(world, offset=timedelta(seconds=901), count=2)
    world.run(
        "UPDATE sends SET send_at = now() - interval '2 hours', not_after = now() - interval '1 second' "
        "WHERE contact_id = 1"
    )
    result = metadata(run("timed_messages", now=None), "timed_messages")
    assert (result["messages"], result["expired"]) == (0, 1)
    assert bodies(queues.sends) == []


def test_message_is_delayed_until_its_second_and_an_overdue_one_not_at_all(
    world: Any, run: Any, queues: Any
) -> None:
    plan_now(world, offset=timedelta(seconds=600), count=3)
    world.run("UPDATE sends SET send_at = now() - interval '1 minute' WHERE contact_id = 1")
    world.run("UPDATE sends SET send_at = now() + interval '1 hour' WHERE contact_id = 2")
    assert metadata(run("timed_messages", now=None), "timed_messages")["messages"] == 2
    counts = queues.sends.counts()
    assert (counts["visible"], counts["delayed"]) == (1, 1)


def test_dead_letters_fail_the_check_and_are_counted_by_queue(queues: Any) -> None:
    known = {"queues": Queues(queues.settings.pipeline)}
    assert no_dead_letters(**known).passed
    list(queues.delivery_results.send([Outgoing("0", "poison")]))
    (message,) = queues.delivery_results.receive()
    queues.delivery_results.dead_letter(message, "no outcome")
    found = no_dead_letters(**known)
    assert not found.passed
    assert {name: count.value for name, count in found.metadata.items()} == {
        "sends": 0,
        "delivery_results": 1,
    }


def test_results_advance_contacts_once_and_a_malformed_one_goes_to_the_dead_letters(
    world: Any, run: Any, queues: Any
) -> None:
    (contact,) = plan_now(world)
    world.finish()
    (row,) = world.rows()
    body = {
        "v": 1,
        "sequence_id": row["sequence_id"],
        "contact_id": contact,
        "sequence_step_id": row["step_id"],
        "round": 1,
        "attempt": 1,
        "outcome": "sent",
        "at": datetime.now(UTC).isoformat(),
    }
    messages = [Outgoing(str(n), json.dumps(body)) for n in range(2)] + [Outgoing("bad", "{not json")]
    assert sum(map(len, queues.delivery_results.send(messages))) == 3
    result = metadata(run("delivery_results", now=None), "delivery_results")
    assert (result["sends_applied"], result["malformed"], result["results"]) == (1, 1, 2)
    assert world.enrolment(row["sequence_id"], contact)["current_step"] == 2
    assert queues.delivery_results.dead_letters() == 1
    assert metadata(run("delivery_results", now=None), "delivery_results")["sends_applied"] == 0


def test_send_whose_result_message_was_lost_is_applied(world: Any, run: Any) -> None:
    (contact,) = plan_now(world)
    world.finish()
    result = metadata(run("delivery_results", now=None), "delivery_results")
    assert result["swept_up_without_message"] == 1
    assert world.enrolment(world.rows()[0]["sequence_id"], contact)["current_step"] == 2


@pytest.mark.parametrize(
    "gone",
    [
        "UPDATE contacts SET deleted_at = now()",
        "UPDATE sequences_contacts SET status = 'removed'",
        "DELETE FROM sequences_contacts",
        "UPDATE steps SET deleted_at = now()",
        "UPDATE sequences SET deleted_at = now()",
    ],
)
def test_result_for_deleted_data_is_kept_and_applied_once(world: Any, run: Any, gone: str) -> None:
    plan_now(world)
    world.finish()
    world.run(gone)
    run("delivery_results", now=None)
    (row,) = world.rows()
    assert (row["status"], row["advanced_at"] is None) == ("sent", False)
    assert metadata(run("delivery_results", now=None), "delivery_results")["swept_up_without_message"] == 0


def test_results_are_applied_in_batches_and_the_next_run_takes_the_rest(
    world: Any, queues: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "BATCH", 10)
    contacts = plan_now(world, count=35)
    world.finish()
    results = [
        DeliveryResult(
            sequence_id=row["sequence_id"],
            contact_id=row["contact_id"],
            sequence_step_id=row["step_id"],
            round=1,
            attempt=1,
            outcome=Outcome.SENT,
        )
        for row in world.rows()
    ]
    messages = [Outgoing(str(n), result.model_dump_json()) for n, result in enumerate(results)]
    assert sum(map(len, queues.delivery_results.send(messages))) == 35
    with Database(queues.settings.pipeline).connect() as connection:
        monkeypatch.setattr(consumer, "MOST_SECONDS", -1)
        first = consume_results(connection, queues.delivery_results, queues.settings.pipeline)
        monkeypatch.undo()
        second = consume_results(connection, queues.delivery_results, queues.settings.pipeline)
    assert first.stopped == "time is up"
    assert 0 < first.results <= 10
    assert (first.results + second.results, second.stopped) == (35, "drained")
    assert first.applied.advanced + second.applied.advanced == len(contacts)


def test_sensors_report_why_they_skip_and_request_one_run(
    world: Any, queues: Any, instance: dg.DagsterInstance
) -> None:
    settings = queues.settings.pipeline
    resources = {"settings": settings, "database": Database(settings), "queues": Queues(settings)}

    def tick(sensor: Any) -> Any:
        needed = {key: resources[key] for key in sensor.required_resource_keys}
        return sensor(dg.build_sensor_context(instance=instance, resources=needed))

    assert "None is planned" in tick(timed_dispatch_sensor).skip_message
    assert "No delivery results" in tick(delivery_results_sensor).skip_message
    plan_now(world, offset=timedelta(hours=1))
    hour = datetime.now(UTC) + timedelta(hours=1)
    assert f"The next is planned for {hour:%Y-%m-%d %H:}" in tick(timed_dispatch_sensor).skip_message
    world.run("UPDATE sends SET send_at = now() + interval '60 seconds'")
    assert isinstance(tick(timed_dispatch_sensor), dg.RunRequest)
    instance.create_run_for_job(
        defs.resolve_job_def("timed_dispatch"), asset_selection=frozenset({dg.AssetKey("timed_messages")})
    )
    assert "queued or running" in tick(timed_dispatch_sensor).skip_message
    list(queues.delivery_results.send([Outgoing("0", "a result")]))
    for _ in range(2):  # a tick that was interrupted after its request makes it again
        assert isinstance(tick(delivery_results_sensor), dg.RunRequest)
    requested = instance.create_run_for_job(
        defs.resolve_job_def("apply_delivery_results"),
        asset_selection=frozenset({dg.AssetKey("delivery_results")}),
    )
    assert "queued or running" in tick(delivery_results_sensor).skip_message
    instance.report_run_canceled(requested)
    assert "RESULTS_EVERY_SECONDS after the last one" in tick(delivery_results_sensor).skip_message


def test_results_are_applied_sooner_if_many_wait_or_the_next_plan_is_near(
    world: Any, queues: Any, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    calm = queues.settings.pipeline.model_copy(update={"plan_at": (now + timedelta(hours=12)).time()})
    before_plan = calm.model_copy(update={"plan_at": (now + timedelta(minutes=9)).time()})
    eager = calm.model_copy(update={"results_every_seconds": 1})

    def tick(settings: Any) -> Any:
        resources = {"settings": settings, "queues": Queues(settings)}
        return delivery_results_sensor(dg.build_sensor_context(instance=instance, resources=resources))

    instance.report_run_canceled(instance.create_run_for_job(defs.resolve_job_def("apply_delivery_results")))
    list(queues.delivery_results.send([Outgoing("0", "a result"), Outgoing("1", "another")]))
    assert isinstance(tick(calm), dg.SkipReason)
    assert isinstance(tick(before_plan), dg.RunRequest)
    assert wait_until(lambda: isinstance(tick(eager), dg.RunRequest), 10)
    monkeypatch.setattr(apply_delivery_results, "MANY_RESULTS", 2)
    assert isinstance(tick(calm), dg.RunRequest)


@pytest.mark.parametrize(("ahead", "seconds"), [(900, 300), (360, 120), (300, 120), (120, 60), (1, 0)])
def test_a_dispatch_is_requested_late_but_with_time_to_repeat_it(ahead: int, seconds: int) -> None:
    assert request_ahead(ahead) == seconds


def test_a_plan_of_a_day_that_was_never_read_says_what_to_do(run: Any) -> None:
    result = run("send_plan", fails=True)
    assert not result.success
    (failure,) = result.filter_events(lambda event: event.is_step_failure)
    message = str(failure.step_failure_data.error)
    assert "There is no `due_contacts` for 2026-06-15" in message
    assert "Jobs, daily_plan, Materialize all, 2026-06-15" in message
    assert run(*PLAN).success
    assert run("send_plan").success, "a day that was read can be planned again alone"


def test_reconciliation_returns_lost_messages_and_makes_lost_transmissions_unknown(
    world: Any, queues: Any
) -> None:
    plan_now(world, offset=timedelta(minutes=-20), count=3)
    one, two, three = (row["contact_id"] for row in world.rows())
    world.run("UPDATE sends SET status = 'dispatched', dispatched_at = send_at WHERE contact_id = %s", one)
    world.run(
        "UPDATE sends SET status = 'claimed', claim = gen_random_uuid(), lease_until = send_at WHERE "
        "contact_id = %s",
        two,
    )
    world.run(
        "UPDATE sends SET status = 'transmitting', transmitting_at = send_at WHERE contact_id = %s", three
    )
    with Database(queues.settings.pipeline).connect() as connection:
        found = reconcile_ledger(connection, queues.settings.pipeline)
    assert (found["messages_vanished"], found["claims_lost"], found["became_unknown"]) == (1, 1, 1)
    assert {row["contact_id"]: row["status"] for row in world.rows()} == {
        one: "planned",
        two: "planned",
        three: "unknown",
    }


def test_invariants_are_checked_on_the_ledger_and_violations_are_counted(world: Any, queues: Any) -> None:
    plan_now(world, offset=timedelta(hours=-4), count=2)
    settings = queues.settings.pipeline
    check = promises_kept(settings=settings, database=Database(settings))
    assert not check.passed
    found = {name: value.value for name, value in check.metadata.items() if name != "examples"}
    assert (found["sends"], found["violations"], found["violations_I9"]) == (
        2,
        2,
        2,
    )  # planned, but not dispatched for hours
    world.run("DELETE FROM sends")
    assert promises_kept(settings=settings, database=Database(settings)).passed


def test_results_job_runs_no_check() -> None:
    job = defs.resolve_job_def("apply_delivery_results")
    assert [node.name for node in job.nodes] == ["delivery_results"]


def test_after_three_days_of_outage_no_contact_is_mailed_twice_and_limits_hold(world: Any, run: Any) -> None:
    box = world.mailbox(send_limit=5)
    sequence = world.sequence(mailboxes=(box,), steps=2, delay=9)
    for _ in range(3):
        world.enrol(sequence, next_send=TODAY - timedelta(days=3))
    run(*PLAN, day=TODAY - timedelta(days=3), now="2026-06-12T04:00:30Z")
    sent = world.rows()[0]["contact_id"]  # one mail is sent, then all programs stop
    world.finish("sent", "contact_id = %s", sent)
    for days in range(3):
        for _ in range(4):
            world.enrol(sequence, next_send=TODAY - timedelta(days=days))
    run(*PLAN)
    after_today = world.ledger()
    for days in (3, 2, 1):
        result = run(*PLAN, day=TODAY - timedelta(days=days), now="2026-06-15T04:10:00Z")
        shown = metadata(result, "send_plan")
        assert shown["planning_day"] == "2026-06-15"
        assert shown["what_became_of_them"].records or shown["why_they_wait"].records
    assert world.ledger() == after_today
    planned = world.rows("status = 'planned'")
    assert len(planned) == 5  # the limit of one day, not of four
    assert {row["plan_day"] for row in planned} == {TODAY}
    assert sum(1 for row in world.rows() if row["contact_id"] == sent) == 1


def test_a_second_run_of_a_day_shows_the_same_day_and_keeps_its_frame(world: Any, run: Any) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(send_limit=3),))
    for _ in range(5):
        world.enrol(sequence)
    first = metadata(run(*PLAN), "send_plan")
    frame = pd.read_parquet(first["path"])
    second = metadata(run(*PLAN), "send_plan")
    assert [second[name] for name in ("planned", "sent", "waiting", "lost")] == [3, 0, 2, 0]
    assert (first["added_by_this_run"], second["added_by_this_run"]) == (3, 0)
    key = ["sequence_id", "contact_id", "step_id"]
    again = pd.read_parquet(second["path"])
    pd.testing.assert_frame_equal(again.sort_values(key), frame.sort_values(key), check_like=True)


def test_sending_health_names_the_mailbox_with_a_problem_by_id_and_domain(
    world: Any, queues: Any, instance: dg.DagsterInstance
) -> None:
    world.mailbox(address="ada.lovelace@sender.example")
    parked = world.mailbox(parked_until="infinity", parked_reason="token_refused: invalid_grant")
    external_id = world.one("SELECT external_id::text FROM mailboxes WHERE id = %s", parked)
    settings = queues.settings.pipeline
    result = dg.materialize(
        [sending_health],
        instance=instance,
        resources={
            "settings": settings,
            "database": Database(settings),
            "queues": Queues(settings),
            "clock": Clock(now=MORNING),
        },
    )
    shown = metadata(result, "sending_health")
    assert (shown["mailboxes"], shown["mailboxes_with_a_problem"]) == (2, 1)
    lines = shown["mailbox_states"].splitlines()
    assert f"]({settings.api_url}/mailboxes/{external_id})" in lines[2]
    assert "mailbox parked" in lines[2]
    assert "token_refused" in lines[2]
    assert "sender.example" in shown["mailbox_states"]
    assert "lovelace" not in shown["mailbox_states"]
    for queue in ("sends_queue", "delivery_results_queue"):
        (seen,) = instance.fetch_observations(dg.AssetKey(queue), limit=1).records
        assert set(seen.asset_observation.metadata) == {"visible", "in_flight", "delayed", "dead"}


def test_sends_that_were_cancelled_stay_in_the_days_numbers_and_frame(world: Any, run: Any) -> None:
    sequence = world.sequence(mailboxes=(world.mailbox(),))
    for _ in range(3):
        world.enrol(sequence)
    first = pd.read_parquet(metadata(run(*PLAN), "send_plan")["path"])
    world.run("UPDATE sequences_contacts SET status = 'paused'")
    world.run("UPDATE sends SET status = 'cancelled', reason = 'enrolment_paused'")
    world.enrol(sequence)
    second = metadata(run(*PLAN), "send_plan")
    assert [second[name] for name in ("planned", "lost", "added_by_this_run")] == [1, 3, 1]
    key = ["sequence_id", "contact_id", "step_id", "round"]
    kept = pd.read_parquet(second["path"])
    assert set(map(tuple, first[key].to_numpy())) < set(map(tuple, kept[key].to_numpy()))


def test_sends_today_and_performance_show_what_came_of_the_mails(world: Any, run: Any) -> None:
    plan_now(world, offset=timedelta(seconds=-5), count=3)
    world.run("UPDATE sends SET status = 'transmitting'")
    world.run("UPDATE sends SET status = 'sent', finished_at = now() WHERE contact_id <= 2")
    world.run(
        "INSERT INTO send_events (sequence_id, contact_id, step_id, round, kind)"
        " SELECT sequence_id, contact_id, step_id, round, 'reply' FROM sends WHERE contact_id = 1"
    )
    today = metadata(run("sends_today", day=None, now=None), "sends_today")
    assert (today["sent"], today["replied"], today["still_to_send"], today["hard_failed"]) == (2, 1, 1, 0)
    assert [row.data["sent"] for row in today["by_sequence"].records] == [2]
    shown = metadata(run("sequence_performance", day=None, now=None), "sequence_performance")
    assert (shown["mails"], shown["replied"], shown["events_removed"]) == (2, 1, 0)
    for name in ("funnel_1", "week"):
        assert "data:image/png;base64," in shown[name]
    [row] = [record.data for record in shown["sequences"].records]
    assert (row["mails"], row["replied_per_enrolment"]) == (2, "0.5")
    assert "sequence_name" not in row


def test_facts_of_a_day_are_written_and_equal_the_ledger(world: Any, run: Any) -> None:
    plan_now(world, offset=timedelta(seconds=-5), count=3)
    world.run("UPDATE sends SET status = 'transmitting'")
    world.run("UPDATE sends SET status = 'sent', finished_at = now()")
    day = world.settings.calendar.day_of(datetime.now(UTC))
    result = run("mail_facts", day=day, now=None)
    shown = metadata(result, "mail_facts")
    assert (shown["mails"], shown["days"], shown["removed"]) == (3, 1, 0)
    assert pq.read_table(shown["path"]).num_rows == 3
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert checks["facts_equal_ledger"].passed
    assert checks["facts_equal_ledger"].metadata["days_compared"].value == 1


def test_facts_schedule_asks_for_the_days_that_changed(world: Any, queues: Any) -> None:
    settings = queues.settings.pipeline
    schedule = defs.resolve_schedule_def("facts_schedule")

    def evaluate() -> Any:
        context = dg.build_schedule_context(
            scheduled_execution_time=datetime.now(UTC),
            resources={"settings": settings, "database": Database(settings)},
        )
        return schedule.evaluate_tick(context)

    assert evaluate().run_requests == []
    plan_now(world, offset=timedelta(seconds=-5))
    world.run("UPDATE sends SET status = 'transmitting'")
    world.run("UPDATE sends SET status = 'sent', finished_at = now()")
    [request] = evaluate().run_requests
    today = settings.calendar.day_of(datetime.now(UTC)).isoformat()
    assert request.tags["dagster/asset_partition_range_start"] == today
    assert request.tags["dagster/asset_partition_range_end"] == today
