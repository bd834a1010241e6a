"""Tests the checks that compare the current day with the last weeks, and the checks of missed days."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from sequence_pipelines.assets import sending_health as health
from sequence_pipelines.definitions import defs
from sequence_pipelines.jobs.health_checks import health_checks
from sequence_pipelines.maintenance.missed_days import find_missed_days
from sequence_pipelines.resources.clock import Clock
from sequence_pipelines.resources.database import Database
from sequence_store.settings import Settings, read_settings

NOON = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)
TODAY = date(2026, 6, 15)


@pytest.fixture
def check(world: Any) -> Any:
    """Return a function that evaluates a check at noon and returns its results by name."""
    settings = world.settings
    database = Database(settings)

    def evaluate(definition: Any) -> dict[str, dg.AssetCheckResult]:
        known = {"database": database, "settings": settings, "clock": Clock(now=NOON.isoformat())}
        needed = {name: known[name] for name in definition.required_resource_keys & set(known)}
        found = definition(**needed)
        if isinstance(found, dg.AssetCheckResult):
            (key,) = definition.check_keys
            return {key.name: found}
        return {result.check_name: result for result in found}

    return evaluate


def add_reputation_events(world: Any, kind: str, count: int, *, days_ago: int = 1) -> None:
    world.run(
        "INSERT INTO reputation_events (kind, sequence_id, contact_id, step_id, round, mailbox_id, at, "
        "mailbox_mails, sequence_mails) SELECT %s, 1, %s + n, 1, 1, 1, %s, 0, 0 FROM generate_series(1, %s) "
        "n",
        kind,
        1000 * days_ago,
        NOON - timedelta(days=days_ago),
        count,
    )


def add_mails(world: Any, count: int, *, days_ago: int = 1) -> None:
    world.run(
        "INSERT INTO mailbox_days (mailbox_id, send_day, allowed, used) VALUES (1, %s, %s, %s)",
        TODAY - timedelta(days=days_ago),
        count,
        count,
    )


@pytest.mark.parametrize(
    ("complaints", "passed", "severity"),
    [(0, True, None), (9, True, None), (10, False, "WARN"), (29, False, "WARN"), (30, False, "ERROR")],
)
def test_complaint_rate_is_judged_by_gmails_bounds(
    world: Any, check: Any, complaints: int, passed: bool, severity: str | None
) -> None:
    add_mails(world, 10_000)
    add_reputation_events(world, "complaint", complaints)
    result = check(health.reputation)["complaint_rate"]
    assert result.passed == passed
    assert severity is None or result.severity.value == severity
    assert result.metadata["complaint_percent"].value == complaints / 100


@pytest.mark.parametrize(
    ("bounces", "before", "passed", "severity"),
    [
        (4, 0, True, None),  # too few to judge
        (15, 45, True, None),  # 1.5 %, as usual
        (15, 9, False, "WARN"),  # five times as many as in the weeks before
        (20, 60, False, "WARN"),
        (50, 60, False, "ERROR"),
    ],
)
def test_bounce_rate_is_judged_by_its_share_and_the_weeks_before(
    world: Any, check: Any, bounces: int, before: int, passed: bool, severity: str | None
) -> None:
    add_mails(world, 1000)
    add_mails(world, 3000, days_ago=10)
    add_reputation_events(world, "bounce", bounces)
    add_reputation_events(world, "bounce", before, days_ago=10)
    result = check(health.reputation)["bounce_rate"]
    assert result.passed == passed
    assert severity is None or result.severity.value == severity


def test_who_waits_for_more_than_thirty_days_is_named_with_the_reason(world: Any, check: Any) -> None:
    full = world.mailbox(send_limit=1)
    sequence = world.sequence(mailboxes=(full,))
    world.follow_up(sequence, full, next_send=TODAY - timedelta(days=30))
    world.follow_up(sequence, full, next_send=TODAY - timedelta(days=29))
    world.plan(NOON - timedelta(hours=8))
    assert check(health.nobody_starved)["nobody_starved"].passed
    world.follow_up(sequence, full, next_send=TODAY - timedelta(days=40))
    world.follow_up(sequence, full, next_send=TODAY - timedelta(days=31))
    world.plan(NOON - timedelta(hours=7))
    result = check(health.nobody_starved)["nobody_starved"]
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
    (record,) = result.metadata["which"].records
    assert record.data == {
        "sequence_id": sequence,
        "mailbox_id": full,
        "reason": "pinned_mailbox_full",
        "contacts": 2,
        "due_since": str(TODAY - timedelta(days=40)),
    }


def test_latest_plan_is_proven_by_an_hourly_check(world: Any, check: Any) -> None:
    box = world.mailbox(send_limit=2)
    sequence = world.sequence(mailboxes=(box,))
    for _ in range(5):
        world.enrol(sequence)
    assert check(health.plan_is_largest)["plan_is_largest"].passed  # nobody waits for a place yet
    world.plan(NOON - timedelta(hours=4))
    result = check(health.plan_is_largest)["plan_is_largest"]
    assert result.passed
    assert result.metadata["classes_with_waiting_contacts"].value == 1
    world.run("DELETE FROM sends WHERE contact_id = (SELECT min(contact_id) FROM sends)")
    result = check(health.plan_is_largest)["plan_is_largest"]
    assert not result.passed
    (record,) = result.metadata["not_largest"].records
    assert (record.data["served"], record.data["bound"]) == (1, 2)
    world.run("DELETE FROM plan_cuts")
    assert not check(health.plan_is_largest)["plan_is_largest"].passed


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.mark.parametrize(("today", "passed"), [(1000, True), (1900, True), (2100, False), (400, False)])
def test_due_contacts_are_compared_with_the_last_four_weeks(
    instance: dg.DagsterInstance, today: int, passed: bool
) -> None:
    counts = [*[1000 + day for day in range(20)], today]
    first = current_day() - timedelta(days=len(counts) - 1)
    for day, due in enumerate(counts):
        partition = (first + timedelta(days=day)).isoformat()
        record_run(instance, partition, due)
        record_run(instance, partition, due // 10)  # a top-up finds the contacts that are left
    late = (first + timedelta(days=3)).isoformat()
    record_run(instance, late, 90_000, planning_day=current_day().isoformat())  # a backfill of a missed day
    result = health.due_contacts_as_usual(dg.build_asset_check_context(instance=instance))
    assert result.passed == passed
    assert result.metadata["contacts_due"].value == today


def current_day() -> date:
    return read_settings(Settings).calendar.day_of(datetime.now(UTC))


def record_run(
    instance: dg.DagsterInstance,
    partition: str,
    due: int,
    *,
    planning_day: str | None = None,
    plan: bool = True,
) -> None:
    """Record a run that read the due contacts of a day and, if `plan`, planned them."""
    numbers = {"contacts_due": due, "planning_day": planning_day or partition}
    made = [dg.AssetMaterialization("due_contacts", partition=partition, metadata=numbers)]
    if plan:
        made.append(dg.AssetMaterialization("send_plan", partition=partition))

    @dg.op(out=dg.Out(dg.Nothing))
    def report(context) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
        for event in made:
            context.log_event(event)

    @dg.job(executor_def=dg.in_process_executor)
    def run() -> None:
        report()

    assert run.execute_in_process(instance=instance).success


def test_a_day_whose_plan_did_not_run_is_not_compared(instance: dg.DagsterInstance) -> None:
    for ago in (3, 2, 1):
        record_run(instance, (current_day() - timedelta(days=ago)).isoformat(), 1000)
    record_run(instance, current_day().isoformat(), 5000, plan=False)
    result = health.due_contacts_as_usual(dg.build_asset_check_context(instance=instance))
    assert result.passed
    assert result.metadata["contacts_due"].value == 1000


@pytest.fixture
def missed(world: Any) -> Any:
    """Return a function that finds the missed days; days are counted back from the day of NOON."""
    calendar = world.settings.calendar

    def find(*planned: int, first: int, now: datetime = NOON) -> list[int]:
        days = [TODAY - timedelta(days=ago) for ago in range(first, -1, -1)]
        done = {TODAY - timedelta(days=ago) for ago in planned}
        found = find_missed_days(world.connection, calendar, days, done, now)
        return [(TODAY - day).days for day in found]

    return find


def test_missed_day_is_found_and_today_too_an_hour_after_it_began(missed: Any) -> None:
    assert missed(4, 2, 1, first=5) == [3, 0]
    began = datetime(2026, 6, 15, 4, 0, tzinfo=UTC)
    assert missed(4, 2, 1, first=5, now=began + timedelta(minutes=59)) == [3]
    assert missed(0, 1, 2, 3, 4, first=5) == []


def test_day_of_the_installation_is_not_missed(missed: Any) -> None:
    assert missed(first=0) == []
    assert missed(first=1) == [0]


def test_days_are_missed_also_if_nothing_was_ever_planned(missed: Any) -> None:
    assert missed(first=3) == [2, 1, 0]


def test_lost_history_shows_no_day_as_missed_that_has_sends(world: Any, missed: Any) -> None:
    for _ in range(2):
        world.enrol(world.sequence(mailboxes=(world.mailbox(),)))
    world.plan()
    assert missed(first=2) == [1]


def test_check_of_missed_days_reads_the_history_of_the_plan(world: Any, instance: dg.DagsterInstance) -> None:
    for key in health.planning_days.get_partition_keys():
        instance.report_runless_asset_event(dg.AssetMaterialization("send_plan", partition=key))
    known = {"settings": world.settings, "database": Database(world.settings)}
    result = health.no_missed_day(dg.build_asset_check_context(instance=instance), **known)
    assert result.passed
    assert result.metadata["missed"].value == 0


def test_every_check_says_what_to_do_and_checks_without_a_plan_run_hourly() -> None:
    graph = defs.resolve_asset_graph()
    specs = [graph.get_check_spec(key) for key in graph.asset_check_keys]
    for spec in specs:
        assert "If " in (spec.description or ""), spec.name
    blocking = {spec.name for spec in specs if spec.blocking}
    assert blocking == {
        "within_limits",
        "inside_windows",
        "one_mail_a_day",
        "distances_kept",
        "gaps_kept",
        "pins_kept",
        "follow_ups_first",
    }
    job = defs.resolve_job_def(health_checks.name)
    hourly = {key.name for key in job.asset_layer.asset_graph.asset_check_keys}
    assert {spec.name for spec in specs} - blocking - hourly == {"addresses_are_valid", "facts_equal_ledger"}
