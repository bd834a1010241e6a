"""Tests that runs obey their limits, however they were launched, and that a dead run frees its job."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.definitions.assets.job.asset_job import IMPLICIT_ASSET_JOB_NAME
from dagster._core.launcher import WorkerStatus
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    InProcessCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon
from dagster._scheduler.scheduler import launch_scheduled_runs

from local_stack.processes import wait_until
from sequence_pipelines.assets import send_plan, timed_messages
from sequence_pipelines.definitions import defs
from sequence_pipelines.resources.instance import run_launcher
from sequence_pipelines.resources.instance.run_launcher import WatchedRunLauncher
from sequence_pipelines.resources.instance.run_limits import JOB_TAG, LIMITS, job_of, run_tags
from sequence_pipelines.resources.instance.run_lock import RunLock, is_locked, lock_url

ROOT = Path(__file__).parents[2]
DAY = timedelta(days=1)
CODE = GrpcServerCodeLocationOrigin(host="127.0.0.1", port=9, location_name="sequence_pipelines")
LOGGER = logging.getLogger("test")
pytestmark = pytest.mark.filterwarnings("ignore:Property `ScheduleDefinition:DeprecationWarning")


@contextmanager
def workspace(instance: DagsterInstance) -> Iterator[Any]:
    """Load the project's code in this process."""
    target = LoadableTargetOrigin(
        executable_path=sys.executable, module_name="sequence_pipelines.definitions", attribute="defs"
    )
    origin = InProcessCodeLocationOrigin(target, location_name="sequence_pipelines")
    with create_test_daemon_workspace_context(InProcessWorkspaceLoadTarget(origin), instance) as context:
        yield context


def materialize(instance: DagsterInstance, context: Any, *assets: str, **tags: str) -> DagsterRun:
    """Submit a run of the assets as their pages do; return it as it is stored."""
    run = DagsterRun(
        IMPLICIT_ASSET_JOB_NAME,
        tags=tags,
        asset_selection=frozenset(map(dg.AssetKey, assets)),
        remote_job_origin=RemoteJobOrigin(RemoteRepositoryOrigin(CODE, "__repository__"), "__ASSET_JOB"),
    )
    instance.add_run(run)
    submitted = dg.SubmitRunContext(run, context.create_request_context())
    return instance.run_coordinator.submit_run(submitted)


def launched_next(instance: DagsterInstance) -> list[str]:
    """Return the runs that Dagster's coordinator would launch now."""
    with QueuedRunCoordinatorDaemon(interval_seconds=5) as coordinator:
        chosen = coordinator._get_runs_to_dequeue(instance, instance.get_concurrency_config(), None)
    return [run.run_id for run in chosen]


@pytest.mark.parametrize(
    ("selection", "job"),
    [
        (("send_plan",), "daily_plan"),
        (("due_contacts",), "daily_plan"),
        (("due_contacts", "mailbox_capacity", "send_plan", "timed_messages"), "daily_plan"),
        (("timed_messages",), "timed_dispatch"),
        (("delivery_results",), "apply_delivery_results"),
        (("send_forecast",), "send_forecast"),
        (("send_plan", "delivery_results", "send_forecast"), "daily_plan"),
        ((), "health_checks"),
        (("an asset without a job",), "daily_plan"),
    ],
)
def test_an_assets_run_has_the_limits_of_the_job_that_materializes_it(
    selection: tuple[str, ...], job: str
) -> None:
    assert job_of(selection) == job


def test_every_job_has_its_limits_and_every_asset_with_a_run_of_its_own_has_a_job() -> None:
    jobs = {job.name: job for job in defs.resolve_all_job_defs() if job.name != IMPLICIT_ASSET_JOB_NAME}
    assert set(jobs) == set(LIMITS) - {"send_forecast"}
    for name, job in jobs.items():
        assert run_tags(name).items() <= {**job.tags, **(job.run_tags or {})}.items(), name
        selected = {key.to_user_string() for key in job.asset_layer.executable_asset_keys}
        assert selected == LIMITS[name].assets, name
    executable = defs.resolve_asset_graph().materializable_asset_keys
    assert {key.to_user_string() for key in executable} == set().union(*(x.assets for x in LIMITS.values()))


def test_two_clicks_on_materialize_run_one_after_the_other(instance: DagsterInstance) -> None:
    with workspace(instance) as context:
        first = materialize(instance, context, "send_plan")
        second = materialize(instance, context, "due_contacts", "send_plan")
        dispatch = materialize(instance, context, "timed_messages")
    assert first.tags.items() >= {JOB_TAG: "daily_plan", "dagster/max_runtime": "3600"}.items()
    assert launched_next(instance) == [dispatch.run_id, first.run_id]
    instance.report_run_canceled(first)
    assert launched_next(instance) == [dispatch.run_id, second.run_id]


def test_a_click_waits_for_the_job_and_keeps_its_own_tags(instance: DagsterInstance) -> None:
    with workspace(instance) as context:
        scheduled = DagsterRun("daily_plan", status=DagsterRunStatus.STARTED, tags=run_tags("daily_plan"))
        instance.add_run(scheduled)
        clicked = materialize(instance, context, "send_plan", **{"dagster/priority": "40"})
    assert clicked.tags["dagster/priority"] == "40"
    assert launched_next(instance) == []


def test_an_asset_is_materialized_by_one_run_at_a_time_whatever_was_selected_with_it(
    instance: DagsterInstance,
) -> None:
    assert instance.get_concurrency_config().pool_config.default_pool_limit == 1
    for asset in (send_plan.send_plan, timed_messages.timed_messages):
        assert asset.op.pool == asset.key.to_user_string()


@pytest.fixture
def started(instance: DagsterInstance) -> DagsterRun:
    """A started run of the daily plan, which no process executes."""
    run = DagsterRun("daily_plan", status=DagsterRunStatus.NOT_STARTED, tags=run_tags("daily_plan"))
    instance.add_run(run)
    started = dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, "daily_plan")
    instance.report_dagster_event(started, run_id=run.run_id)
    return run


def launcher(instance: DagsterInstance) -> WatchedRunLauncher:
    assert isinstance(instance.run_launcher, WatchedRunLauncher)
    return instance.run_launcher


def test_a_run_whose_process_lives_is_healthy_and_one_whose_process_is_gone_fails(
    instance: DagsterInstance, started: DagsterRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RunLock(instance, started.run_id):
        assert launcher(instance).check_run_worker_health(started).status == WorkerStatus.RUNNING
    assert launcher(instance).check_run_worker_health(started).status == WorkerStatus.RUNNING, "a grace time"
    monkeypatch.setattr(run_launcher, "GONE_SECONDS", 0)
    with workspace(instance) as context:
        list(execute_run_monitoring_iteration(context, LOGGER))
    failed = instance.get_run_by_id(started.run_id)
    assert failed is not None
    assert failed.status == DagsterRunStatus.FAILURE
    assert failed.tags["dagster/will_retry"] == "true"


def test_a_lock_that_the_database_lost_is_renewed(instance: DagsterInstance, started: DagsterRun) -> None:
    url = lock_url(instance)
    assert url
    with RunLock(instance, started.run_id, beat=0.05), psycopg.connect(url, autocommit=True) as other:
        assert is_locked(url, started.run_id)
        cut = other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s "
            "AND datname = current_database()",
            ["sequence_pipelines run"],
        )
        assert (True,) in cut.fetchall()
        assert wait_until(lambda: is_locked(url, started.run_id), 5)
    assert not is_locked(url, started.run_id)
    assert not is_locked(url, "another run")


def test_terminate_succeeds_if_the_process_is_gone(instance: DagsterInstance, started: DagsterRun) -> None:
    assert launcher(instance).terminate(started.run_id)
    ended = instance.get_run_by_id(started.run_id)
    assert ended is not None
    assert ended.status == DagsterRunStatus.CANCELED
    assert not launcher(instance).terminate(started.run_id), "it has ended"


def test_terminate_reaches_a_process_that_the_code_server_does_not_know(
    instance: DagsterInstance, started: DagsterRun
) -> None:
    sent: list[int] = []
    with RunLock(instance, started.run_id, beat=0.02, patience=0.1, send=sent.append):
        assert launcher(instance).terminate(started.run_id)
        canceling = instance.get_run_by_id(started.run_id)
        assert canceling is not None
        assert canceling.status == DagsterRunStatus.CANCELING
        assert wait_until(lambda: len(sent) >= 2, 10)
    assert sent[:2] == [signal.SIGINT, signal.SIGKILL]


def test_a_run_ends_with_the_code_server_that_started_it(
    instance: DagsterInstance, started: DagsterRun
) -> None:
    program = (
        "import os, sys, time\n"
        "from dagster import DagsterInstance\n"
        "from sequence_pipelines.resources.instance.run_lock import RunLock\n"
        "if os.fork():\n"
        "    time.sleep(60)\n"
        "with DagsterInstance.from_config(sys.argv[1]) as instance:\n"
        "    with RunLock(instance, sys.argv[2], beat=0.05, patience=0.2):\n"
        "        time.sleep(60)\n"
    )
    url = lock_url(instance)
    assert url
    command = [sys.executable, "-c", program, instance.root_directory, started.run_id]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        assert wait_until(lambda: is_locked(url, started.run_id), 30)
    finally:
        server.kill()
        server.wait()
    assert wait_until(lambda: not is_locked(url, started.run_id), 10)


def test_the_latest_missed_tick_runs_after_a_restart_and_only_that_one(instance: DagsterInstance) -> None:
    from sequence_pipelines.partitions import planning_days

    *_, today = planning_days.get_partition_keys()
    tick = planning_days.time_window_for_partition_key(today).start.astimezone(UTC)
    with workspace(instance) as context:
        times: dict[str, Any] = {}
        for now in (tick - 3 * DAY - timedelta(minutes=1), tick + timedelta(hours=1)):
            list(launch_scheduled_runs(context, LOGGER, now, times))
    runs = instance.get_runs(dg.RunsFilter(tags={"dagster/schedule_name": "daily_plan_schedule"}))
    assert [run.tags["dagster/partition"] for run in runs] == [today]
    assert {run.status for run in runs} == {DagsterRunStatus.QUEUED}
    assert "latest missed tick" in (defs.resolve_schedule_def("daily_plan_schedule").description or "")
