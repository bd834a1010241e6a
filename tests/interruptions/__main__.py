"""Tries what interrupts Dagster's runs on a real stack: `make trial NAME=interruptions`.

`killed` kills the code server while a plan runs, launches the next plan and measures when it starts, then
terminates runs that the code server cannot reach. `stopped` stops the stack in the middle of a backfill,
keeps it down over a daily tick and starts it again. `clicked` materializes `send_plan` twice from its
page. Names of parts as arguments select them, and `--instance FILE` tries another dagster.yaml.

Exits with status 0 only if the next plan starts within two minutes, Terminate never answers with an
error, the backfill ends by itself, the missed tick is made up, and no two plans run at the same time.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from local_stack import stack
from local_stack.folder import StackFolder
from sequence_cli.dagster_runs import LOCATION, DagsterRuns
from sequence_cli.errors import DayError, RemoteError
from tests.celery.__main__ import Machine, insert_team, machine, say, today, wait_for

NEXT_RUN_SECONDS = 120.0
BACKFILL_SECONDS = 420.0
_TERMINATE = """mutation T($run: String!) { terminateRun(runId: $run) { __typename
    ... on TerminateRunFailure { message } ... on PythonError { message } } }"""
_MATERIALIZE = """mutation M($params: ExecutionParams!) { launchPipelineExecution(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
_BACKFILL = """mutation B($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
_STATUS = """query S($id: String!) { partitionBackfillOrError(backfillId: $id) {
    ... on PartitionBackfill { status } } }"""
REPOSITORY = {"repositoryLocationName": LOCATION, "repositoryName": "__repository__"}


def runs_of(at: Machine, where: str, *values: object) -> list[tuple[str, str]]:
    """Return id and status of the runs, oldest first."""
    with at.database("DAGSTER_DATABASE_URL") as connection:
        query = f"SELECT run_id, status FROM runs WHERE {where} ORDER BY id"
        return connection.execute(query.encode(), values).fetchall()


def status_of(at: Machine, run: str) -> str:
    return dict(runs_of(at, "run_id = %s", run))[run]


@contextmanager
def blocked_writes(at: Machine) -> Iterator[Callable[[], bool]]:
    """Let runs read, but wait at their first write to `sends`; yield whether a run waits."""
    with at.database() as connection, connection.transaction(), at.database() as look:
        connection.execute("LOCK TABLE sends IN SHARE MODE")

        def waits() -> bool:
            query = (
                "SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted "
                "AND relation = 'sends'::regclass AND usename = 'sequence_pipeline'"
            )
            return look.execute(query.encode()).fetchone() is not None

        yield waits


def code_server(at: Machine) -> int:
    return StackFolder(at.root).records()["dagster-code"].identity.pid


def sessions(at: Machine) -> int:
    """Count the processes that hold the lock of their run."""
    with at.database("DAGSTER_DATABASE_URL") as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sequence_pipelines run'"
        row = connection.execute(query.encode()).fetchone()
    return int(row[0]) if row else 0


def launch(at: Machine, job: str) -> str:
    """Launch the job for today; again while the code server starts; return the run's id."""

    def tried() -> str | None:
        with suppress(OSError, DayError, RemoteError):
            return DagsterRuns(at.variables["DAGSTER_URL"]).launch(job, today(at).date().isoformat())
        return None

    run: str = wait_for(f"{job} is launched", tried, 120)
    return run


def children(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def kill_tree(pid: int) -> None:
    """Kill the process and all that it started, as the end of a container does."""
    for child in children(pid):
        kill_tree(child)
    os.kill(pid, signal.SIGKILL)


def terminate(at: Machine, run: str) -> None:
    answer = at.query(_TERMINATE, run=run)["terminateRun"]
    say(f"Terminate answers {answer}")
    if answer["__typename"] != "TerminateRunSuccess":
        raise SystemExit("WRONG: Terminate failed.")
    wait_for("the run is canceled", lambda: status_of(at, run) == "CANCELED", 90)


def start_blocked(at: Machine, waits: Callable[[], bool], job: str = "daily_plan") -> str:
    run = launch(at, job)
    wait_for(f"{job} has started", lambda: status_of(at, run) == "STARTED", 180)
    time.sleep(2)
    wait_for(f"{job} waits for the lock", waits, 180)
    return run


def killed(folder: Path, instance: Path | None, seconds: float | None) -> None:
    """Kill the code server in the middle of a run."""
    with machine(folder / "killed", workers=0, instance=instance, PLAN_AT=in_minutes(60)) as at:
        insert_team(at, 300)
        with blocked_writes(at) as waits:
            first = start_blocked(at, waits)
            kill_tree(code_server(at))
            began = time.monotonic()
            say("killed the code server with the process of daily_plan")
        second = launch(at, "daily_plan")
        try:
            wait_for("the next plan starts", lambda: next_started(at, first), seconds or NEXT_RUN_SECONDS)
        finally:
            say(f"after {time.monotonic() - began:.0f} s: {runs_of(at, 'pipeline_name = %s', 'daily_plan')}")
        wait_for("the next plan succeeds", lambda: status_of(at, second) == "SUCCESS", 120)

        with blocked_writes(at) as waits:
            run = start_blocked(at, waits, "reconcile")
            kill_tree(code_server(at))
            say("killed the code server with the process of reconcile")
            terminate(at, run)

        with blocked_writes(at) as waits:
            run = start_blocked(at, waits, "reconcile")
            os.kill(code_server(at), signal.SIGKILL)
            time.sleep(15)
            say(f"killed the code server alone; its run is {status_of(at, run)} and goes on")
            terminate(at, run)
            wait_for("the process of the run has ended", lambda: not sessions(at), 60)

        with blocked_writes(at) as waits:
            run = start_blocked(at, waits, "reconcile")
            (server,) = children(code_server(at))[-1:]
            os.kill(server, signal.SIGKILL)
            say("killed only the process of the code server that starts runs")
            wait_for("the process of the run has ended", lambda: not sessions(at), 60)
            wait_for("the run has failed", lambda: status_of(at, run) == "FAILURE", 60)


def next_started(at: Machine, first: str) -> bool:
    later = runs_of(at, "pipeline_name = 'daily_plan' AND run_id <> %s", first)
    return any(status in {"STARTED", "SUCCESS"} for _, status in later)


def in_minutes(minutes: int) -> str:
    return f"{datetime.now(UTC) + timedelta(minutes=minutes):%H:%M}"


def launch_backfill(at: Machine, days: list[str], *, asset: bool) -> str:
    params: dict[str, Any] = {"partitionNames": days}
    if asset:
        names = ("due_contacts", "mailbox_capacity", "send_plan")
        params["assetSelection"] = [{"path": [name]} for name in names]
    else:
        params["selector"] = {
            "partitionSetName": "daily_plan_partition_set",
            "repositorySelector": REPOSITORY,
        }
    launched = at.query(_BACKFILL, params=params)["launchPartitionBackfill"]
    if launched["__typename"] != "LaunchBackfillSuccess":
        raise SystemExit(f"The backfill was not launched: {launched}")
    return str(launched["backfillId"])


def stopped(folder: Path, instance: Path | None, seconds: float | None) -> None:
    """Stop the stack in the middle of two backfills, over a daily tick, and start it again."""
    with machine(folder / "stopped", workers=0, instance=instance, PLAN_AT=in_minutes(5)) as at:
        insert_team(at, 300)
        begun = today(at)
        days = [f"{begun.date() - timedelta(days=n)}" for n in range(6)]
        backfills: list[str] = []
        # The lock lasts until Postgres is stopped, so the run cannot finish before.
        with suppress(psycopg.OperationalError), blocked_writes(at) as waits:
            backfills += [
                launch_backfill(at, days[:3], asset=False),
                launch_backfill(at, days[3:], asset=True),
            ]
            wait_for("a day of the backfill waits for the lock", waits, 180)
            began = time.monotonic()
            stack.down(at.root)
        say(f"after {time.monotonic() - began:.0f} s: stopped the stack in the middle of the backfills")
        tick = (begun + timedelta(days=1)).date().isoformat()
        plan_at = datetime.strptime(os.environ["PLAN_AT"], "%H:%M").time()  # noqa: DTZ007
        due = datetime.combine(begun.date() + timedelta(days=1), plan_at, UTC)
        if (pause := (due - datetime.now(UTC)).total_seconds() + 20) > 0:
            say(f"waiting {pause:.0f} s until the tick is missed")
            time.sleep(pause)
        stack.up_detached(at.root)
        began = time.monotonic()
        limit = seconds or BACKFILL_SECONDS
        try:
            for backfill in backfills:
                wait_for(f"backfill {backfill} ends", lambda: ended(at, backfill), limit)  # noqa: B023
        finally:
            say(f"after {time.monotonic() - began:.0f} s: {runs_of(at, 'TRUE')}")
        # A backfill of a job counts a day that was retried as failed, although the retry succeeded.
        say(f"the backfills ended as {[ended(at, backfill) for backfill in backfills]}")
        planned = "status = 'SUCCESS' AND run_id IN (SELECT run_id FROM run_tags WHERE value = %s)"
        if missing := [day for day in days if not runs_of(at, planned, day)]:
            raise SystemExit(f"WRONG: the backfills ended without {missing}.")
        where = (
            "status = 'SUCCESS' AND run_id IN (SELECT run_id FROM run_tags WHERE key = 'dagster/partition' "
            "AND value = %s) AND run_id IN (SELECT run_id FROM run_tags WHERE key = 'dagster/schedule_name')"
        )
        wait_for(f"the missed tick of {tick} is made up", lambda: runs_of(at, where, tick), limit)
        say(f"the tick of {tick} ran after the start")


def ended(at: Machine, backfill: str) -> str | None:
    status: str = at.query(_STATUS, id=backfill)["partitionBackfillOrError"]["status"]
    return status if status not in {"REQUESTED", "CANCELING", "COMPLETED", "FAILING"} else None


def clicked(folder: Path, instance: Path | None, _seconds: float | None) -> None:
    """Materialize `send_plan` twice from its page while the job plans the day."""
    with machine(folder / "clicked", workers=0, instance=instance, PLAN_AT=in_minutes(60)) as at:
        insert_team(at, 300)
        runs, day = DagsterRuns(at.variables["DAGSTER_URL"]), today(at).date().isoformat()
        for _ in runs.follow(runs.launch("daily_plan", day), seconds=180):
            pass
        with at.database() as connection:
            connection.execute("DELETE FROM sends WHERE status = 'planned'")
        with blocked_writes(at) as waits:
            clicks = [materialize(at, "send_plan", day) for _ in range(2)]
            wait_for("the first click's plan waits for the lock", waits, 180)
            time.sleep(20)
            states = sorted(status_of(at, run) for run in clicks)
            say(f"two clicks: {states}")
            if states != ["QUEUED", "STARTED"]:
                raise SystemExit("WRONG: both clicks run at the same time.")
        for run in clicks:
            for _ in runs.follow(run, seconds=180):
                pass
            with at.database("DAGSTER_DATABASE_URL") as connection:
                tags = dict(
                    connection.execute("SELECT key, value FROM run_tags WHERE run_id = %s", [run]).fetchall()
                )
            if tags.get("dagster/max_runtime") != "3600":
                raise SystemExit("WRONG: a click's run has no maximum runtime.")


def materialize(at: Machine, asset: str, day: str) -> str:
    """Do what the button of the asset's page does; return the run's id."""
    selector = REPOSITORY | {"pipelineName": "__ASSET_JOB", "assetSelection": [{"path": [asset]}]}
    tags = [{"key": "dagster/partition", "value": day}]
    params = {"selector": selector, "mode": "default", "executionMetadata": {"tags": tags}}
    answer = at.query(_MATERIALIZE, params=params)["launchPipelineExecution"]
    if answer["__typename"] != "LaunchRunSuccess":
        raise SystemExit(f"The materialization was not launched: {answer}")
    return str(answer["run"]["runId"])


PARTS: dict[str, Callable[[Path, Path | None, float | None], None]] = {
    "killed": killed,
    "stopped": stopped,
    "clicked": clicked,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make trial NAME=interruptions")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="all parts by default")
    parser.add_argument("--instance", type=Path, help="another dagster.yaml, to compare with")
    parser.add_argument("--seconds", type=float, help="how long to wait for the next plan or the backfill")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in options.parts or PARTS:
            say(f"{name}: begins")
            PARTS[name](Path(folder), options.instance, options.seconds)
    say("passed")


if __name__ == "__main__":
    main()
