"""Tests of deploy/dagster.yaml, the instance of the stack and the image: storage, limits, priorities."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import yaml
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, build_schedule_context
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from sequence_pipelines.definitions import defs
from sequence_pipelines.jobs.daily_plan import TAGS

ROOT = Path(__file__).parents[2]


def test_instance_opens_on_postgres_with_telemetry_off(instance: DagsterInstance) -> None:
    assert instance.get_runs_count() == 0
    assert not instance.telemetry_enabled
    assert instance.run_monitoring_enabled
    assert instance.run_retries_enabled
    assert not instance.run_retries_retry_on_asset_or_op_failure
    assert "ASSET" not in instance.get_required_daemon_types(), "no asset has an automation condition"


def test_instance_of_a_clone_differs_from_the_stacks_in_its_storage_and_logs_only() -> None:
    clone = yaml.safe_load((ROOT / "dagster.yaml").read_text())
    server = yaml.safe_load((ROOT / "deploy" / "dagster.yaml").read_text())
    assert server.pop("storage") == {"postgres": {"postgres_url": {"env": "DAGSTER_DATABASE_URL"}}}
    assert server.pop("compute_logs")["class"] == "RunLogs"
    assert clone == server, "apply the change of one file to the other one, too"


def test_backfills_leave_slots_for_dispatch() -> None:
    runs = yaml.safe_load((ROOT / "deploy" / "dagster.yaml").read_text())["concurrency"]["runs"]
    limits = {limit["key"]: limit["limit"] for limit in runs["tag_concurrency_limits"]}
    assert limits["dagster/backfill"] + 4 <= runs["max_concurrent_runs"]  # four other jobs, one run each


def test_todays_run_is_launched_before_the_queued_days_of_a_backfill(instance: DagsterInstance) -> None:
    code = GrpcServerCodeLocationOrigin(host="127.0.0.1", port=4000, location_name="sequence_pipelines")
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(code, "__repository__"), "daily_plan")

    def queue(**tags: str) -> str:
        run = DagsterRun("daily_plan", status=DagsterRunStatus.QUEUED, tags=tags, remote_job_origin=origin)
        return instance.add_run(run).run_id

    def launched_next() -> list[str]:
        """Return the runs that Dagster's coordinator would launch now."""
        with QueuedRunCoordinatorDaemon(interval_seconds=5) as coordinator:
            chosen = coordinator._get_runs_to_dequeue(instance, instance.get_concurrency_config(), None)
        return [run.run_id for run in chosen]

    waiting = [queue(**TAGS, **{"dagster/backfill": "missed"}) for _ in range(30)]
    assert launched_next() == waiting[:1]
    schedule = defs.resolve_schedule_def("daily_plan_schedule")
    tick = build_schedule_context(scheduled_execution_time=datetime(2026, 6, 15, 4, tzinfo=UTC))
    (request,) = schedule.evaluate_tick(tick).run_requests or ()
    today = queue(**TAGS | request.tags)
    assert launched_next() == [today]
