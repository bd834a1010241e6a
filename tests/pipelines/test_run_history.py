"""Tests that old runs are removed from Dagster's database, and that what is still read is kept."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager

from sequence_pipelines.jobs.remove_old_runs import READ_BY_CHECKS
from sequence_pipelines.maintenance.due_volume import DAYS_COMPARED
from sequence_pipelines.resources.instance.run_history import remove_old_runs

NOW = datetime.now(UTC)
LATER = NOW + timedelta(days=31)
DAYS = dg.DailyPartitionsDefinition("2026-06-01")


@dg.asset(partitions_def=DAYS)
def due_contacts() -> None:
    """Stands for an asset whose history a check reads."""


@dg.asset(partitions_def=DAYS)
def delivery_results() -> dg.MaterializeResult:  # type: ignore[type-arg]
    return dg.MaterializeResult(metadata={"results": 1})


@dg.asset_check(asset=delivery_results)
def promises_kept() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@dg.asset
def send_forecast(context: dg.AssetExecutionContext) -> None:
    context.log_event(dg.AssetObservation("mailboxes"))


@dg.job
def reconcile() -> None: ...


ASSETS = [due_contacts, delivery_results, send_forecast, promises_kept]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


@pytest.fixture
def instance_with_logs(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as opened:
        yield opened


def run(instance: dg.DagsterInstance, name: str, day: str | None = None) -> str:
    selection = dg.AssetSelection.assets(dg.AssetKey(name)).without_checks()
    return dg.materialize(ASSETS, selection=selection, partition_key=day, instance=instance).run_id


def check(instance: dg.DagsterInstance) -> str:
    selection = dg.AssetSelection.checks(promises_kept)
    return dg.materialize(ASSETS, selection=selection, instance=instance).run_id


def left(instance: dg.DagsterInstance, *, days: int = 30, now: datetime = LATER, batch: int = 3) -> set[str]:
    """Remove old runs; return the ids of those that are left."""
    keys = [spec.key for spec in promises_kept.check_specs]
    before = instance.get_runs_count()
    removed = sum(
        found.removed
        for found in remove_old_runs(
            instance, now, days, check_keys=keys, read_by_checks=READ_BY_CHECKS, batch=batch
        )
    )
    runs = {found.run_id for found in instance.get_runs()}
    assert before - removed == len(runs)
    return runs


def test_runs_are_removed_with_events_and_logs_except_the_latest_of_each_day(
    instance_with_logs: dg.DagsterInstance,
) -> None:
    instance = instance_with_logs
    old = [run(instance, "delivery_results", "2026-06-01") for _ in range(3)]
    kept = {run(instance, "delivery_results", day) for day in ("2026-06-01", "2026-06-02")}
    logs = instance.compute_log_manager
    assert isinstance(logs, LocalComputeLogManager)
    folder = Path(logs.get_captured_local_path([old[0], "compute_logs", "a"], "out")).parents[1]
    assert folder.exists()
    assert left(instance, days=32) == {*old, *kept}, "no run is old enough"
    assert left(instance) == kept
    assert not folder.exists()
    assert not any(instance.all_logs(gone) for gone in old)
    shown = instance.get_materialized_partitions(dg.AssetKey("delivery_results"))
    assert shown == {"2026-06-01", "2026-06-02"}
    assert left(instance) == kept, "a second time"


def test_unfinished_runs_and_the_latest_evaluation_of_a_check_are_kept(instance: dg.DagsterInstance) -> None:
    running = instance.create_run_for_job(reconcile, status=dg.DagsterRunStatus.STARTED).run_id
    checks = [check(instance) for _ in range(3)]
    assert left(instance) == {running, checks[-1]}


def evaluated_by(instance: dg.DagsterInstance) -> list[str]:
    """Return the runs of the check's evaluations, the newest first."""
    (spec,) = promises_kept.check_specs
    history = instance.event_log_storage.get_asset_check_execution_history(spec.key, limit=100)
    return [evaluation.run_id for evaluation in history]


def test_the_evaluations_of_a_check_are_removed_with_their_runs(
    instance_with_logs: dg.DagsterInstance,
) -> None:
    instance = instance_with_logs
    checks = [check(instance) for _ in range(5)]
    assert evaluated_by(instance) == checks[::-1]
    assert left(instance, days=32) == set(checks)
    assert evaluated_by(instance) == checks[::-1], "no run is old enough"
    assert left(instance, batch=2) == {checks[-1]}
    assert evaluated_by(instance) == [checks[-1]], "the check still shows its latest result"


def test_the_latest_materialization_and_observation_without_a_partition_are_kept(
    instance: dg.DagsterInstance,
) -> None:
    runs = [run(instance, "send_forecast") for _ in range(3)]
    assert left(instance) == {runs[-1]}


def test_the_history_that_a_check_reads_is_kept_longer(instance: dg.DagsterInstance) -> None:
    plans = [run(instance, "due_contacts", "2026-06-01") for _ in range(3)]
    applied = [run(instance, "delivery_results", "2026-06-01") for _ in range(2)]
    assert left(instance, days=1, now=NOW + timedelta(days=DAYS_COMPARED)) == {*plans, applied[-1]}
    assert left(instance, now=NOW + timedelta(days=100)) == {plans[-1], applied[-1]}
