"""Tests alerts about checks: two results in a row turn one, two clear it, and each is told once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from sequence_pipelines.definitions import defs
from sequence_pipelines.jobs import check_alerts as job
from sequence_pipelines.jobs.check_alerts import check_alert_sensor
from sequence_pipelines.maintenance.check_alerts import Evaluation, judge, judge_silence
from sequence_pipelines.resources.database import Database
from tests.conftest import Database as OwnDatabase
from tests.conftest import Services

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)


def results(passed: str, *, blocking: bool = False, severity: str = "WARN") -> list[Evaluation]:
    """Return the results of a check; the text has `+` and `-`, the oldest first."""
    return [Evaluation(one == "+", severity, blocking, "run", NOW) for one in reversed(passed)]


@pytest.mark.parametrize(
    ("passed", "alerted", "turned"),
    [
        ("-", False, False),
        ("+-", False, False),
        ("--", False, True),
        ("+--", False, True),
        ("---", True, False),
        ("-+", True, False),
        ("--++", True, True),
        ("++", False, False),
        ("-+-+", True, False),
    ],
)
def test_two_results_in_a_row_turn_a_check(passed: str, alerted: bool, turned: bool) -> None:
    state, told = judge(results(passed), alerted=alerted)
    assert told == turned
    assert state.alerted == (alerted != turned)


def test_sequence_of_results_is_told_once_for_each_turn() -> None:
    alerted, told = False, []
    history = "++-+---+-++++--"
    for n in range(1, len(history) + 1):
        state, turned = judge(results(history[:n]), alerted=alerted)
        alerted = state.alerted
        if turned:
            told.append((n, state.latest.passed))
    assert told == [(6, False), (11, True), (15, False)]


def test_blocking_check_is_told_by_its_failed_run() -> None:
    assert not judge(results("--", blocking=True, severity="ERROR"), alerted=False)[1]
    assert judge(results("--", blocking=True, severity="WARN"), alerted=False)[1]


@pytest.mark.parametrize(("minutes", "passed"), [(0, True), (119, True), (121, False)])
def test_checks_that_have_not_run_for_two_hours_are_a_failure(minutes: int, passed: bool) -> None:
    seen = NOW - timedelta(minutes=minutes)
    assert judge_silence(seen, NOW - timedelta(days=9), NOW).passed == passed
    assert judge_silence(None, seen, NOW).passed == passed


@pytest.fixture
def tick(
    database: OwnDatabase, settings: Services, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[str]]:
    """Return a function that stores results of a check and evaluates the sensor; it returns the alerts."""
    told: list[str] = []
    monkeypatch.setattr(job, "send_alert", lambda alert, _settings: told.append(alert.title))
    instance = dg.DagsterInstance.ephemeral()
    repository = defs.get_repository_def()

    def evaluate(*stored: tuple[str, str, bool]) -> list[str]:
        told.clear()
        for asset, check, passed in stored:
            instance.report_runless_asset_event(
                dg.AssetCheckEvaluation(
                    asset_key=dg.AssetKey(asset),
                    check_name=check,
                    passed=passed,
                    metadata={},
                    severity=dg.AssetCheckSeverity.WARN,
                )
            )
        context = dg.build_sensor_context(
            instance=instance,
            repository_def=repository,
            resources={"settings": settings.pipeline, "database": Database(settings.pipeline)},
        )
        assert isinstance(check_alert_sensor(context), dg.SkipReason)
        return list(told)

    return evaluate


def test_sensor_tells_once_and_keeps_the_results_for_the_metrics(
    tick: Callable[..., list[str]], database: OwnDatabase
) -> None:
    fails, passes = ("sending_health", "no_dead_letters", False), ("sending_health", "no_dead_letters", True)
    assert tick(fails) == []
    assert tick() == []
    assert tick(fails) == ["[local] the check no_dead_letters fails"]
    assert tick(fails) == []
    assert tick(passes) == []
    assert tick(passes) == ["[local] the check no_dead_letters passes again"]
    assert tick(passes) == []
    with database.connect("readonly") as connection:
        rows: Any = connection.execute(
            "SELECT check_name, passed, in_a_row >= 2, alerted FROM check_results ORDER BY 1"
        ).fetchall()
    assert rows == [("checks_run", True, True, False), ("no_dead_letters", True, True, False)]


def test_sensor_tells_that_the_checks_do_not_run(
    tick: Callable[..., list[str]], database: OwnDatabase
) -> None:
    assert tick() == []
    with database.connect() as connection:
        connection.execute("UPDATE check_results SET at = at - interval '3 hours'")
    assert tick() == ["[local] the check checks_run fails"]
    assert tick() == []
    assert tick(("sending_health", "nothing_unknown", True)) == ["[local] the check checks_run passes again"]


def test_alert_that_cannot_be_sent_is_tried_again(
    tick: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = ("sending_health", "no_dead_letters", False)
    tick(fails)
    with monkeypatch.context() as patch:
        patch.setattr(job, "send_alert", lambda *_: (_ for _ in ()).throw(OSError("no network")))
        with pytest.raises(OSError, match="no network"):
            tick(fails)
    assert tick() == ["[local] the check no_dead_letters fails"]
