"""Tests the checks that compare the current day with the last weeks, and the checks of missed days."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from sequence_pipelines.assets import health
from sequence_pipelines.definitions import defs
from sequence_pipelines.jobs.health_checks import health_checks
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
        return {result.check_name: result for result in definition(**needed)}

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


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.mark.parametrize(("today", "passed"), [(1000, True), (1900, True), (2100, False), (400, False)])
def test_due_contacts_are_compared_with_the_last_four_weeks(
    instance: dg.DagsterInstance, today: int, passed: bool
) -> None:
    counts = [*[1000 + day for day in range(20)], today]
    for day, due in enumerate(counts):
        partition = (TODAY - timedelta(days=len(counts) - day)).isoformat()
        instance.report_runless_asset_event(
            dg.AssetMaterialization("due_contacts", partition=partition, metadata={"contacts_due": due})
        )
    result = health.due_contacts_as_usual(dg.build_asset_check_context(instance=instance))
    assert result.passed == passed
    assert result.metadata["contacts_due"].value == today


def test_missed_day_is_shown_and_today_too_an_hour_after_it_began(instance: dg.DagsterInstance) -> None:
    from sequence_pipelines.assets.send_plan import GRACE, no_missed_day

    now = datetime.now(UTC)
    calendar = read_settings(Settings).calendar
    today = calendar.day_of(now)
    for ago in (4, 2, 1):
        planned = dg.AssetMaterialization("send_plan", partition=(today - timedelta(days=ago)).isoformat())
        instance.report_runless_asset_event(planned)
    result = no_missed_day(dg.build_asset_check_context(instance=instance))
    missed = {(today - timedelta(days=3)).isoformat()}
    if now - calendar.start_of(today) > GRACE:
        missed.add(today.isoformat())
    assert set(result.metadata["days"].value) == missed
    assert not result.passed


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
        "gaps_kept",
        "pins_kept",
        "follow_ups_first",
    }
    job = defs.resolve_job_def(health_checks.name)
    hourly = {key.name for key in job.asset_layer.asset_graph.asset_check_keys}
    assert {spec.name for spec in specs} - blocking - hourly == {"addresses_are_valid"}
