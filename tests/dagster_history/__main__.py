"""Measures Dagster's database after a simulated month: `make trial NAME=dagster-history`.

A real stack makes one run of each job. Their rows are copied, with other ids and times, as often as the jobs
run in DAYS days at 100,000 mails a day: once with the rates of before (results every 30 seconds, dispatch
every 7.5 minutes) and once with the present ones. Then the days before RUN_HISTORY_DAYS are removed.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from dagster import DagsterInstance

from sequence_cli.dagster_runs import DagsterRuns
from sequence_pipelines.resources.instance.run_history import remove_old_runs
from tests.celery.__main__ import Machine, insert_team, machine, say, today, wait_for
from tests.interruptions.__main__ import in_minutes, runs_of

ALWAYS = {"reconcile": 96, "health_checks": 24, "daily_plan": 1}
BEFORE = {"apply_delivery_results": 2880, "timed_dispatch": 192, **ALWAYS}
HOURLY = {"report_outcomes": 24, "write_facts": 24}
AFTER = {"remove_old_runs": 1, **ALWAYS, **HOURLY}
AN_HOUR = {"apply_delivery_results": 12, "timed_dispatch": 6}  # in which mails are sent
TABLES = ("runs", "run_tags", "event_logs", "asset_check_executions", "asset_event_tags")
HISTORY_DAYS = 30

COPIES = """
CREATE TEMP TABLE copies ON COMMIT DROP AS
SELECT %(run)s::text AS source, gen_random_uuid()::text AS run_id, ago, ago::interval AS shift, day
FROM (
    SELECT make_interval(secs => (day + n::float / %(a_day)s) * 86400 + %(offset)s) AS ago, day
    FROM generate_series(%(from)s::int, %(to)s::int - 1) day, generate_series(0, %(a_day)s::int - 1) n
) times
"""


def columns(connection: psycopg.Connection[Any], table: str) -> dict[str, str]:
    """Return the types of a table's columns, without its serial id."""
    found = connection.execute(
        "SELECT column_name, data_type FROM information_schema.columns "
        "WHERE table_name = %s AND table_schema = 'public' AND column_name <> 'id' ORDER BY ordinal_position",
        [table],
    )
    return dict(found.fetchall())


def copy_rows(connection: psycopg.Connection[Any], table: str) -> None:
    """Copy the source run's rows of a table for each run in `copies`."""
    names = columns(connection, table)

    def value(name: str, kind: str) -> str:
        if name == "partition":
            return "CASE WHEN t.partition IS NULL THEN NULL ELSE (current_date - c.day)::text END"
        if kind.startswith("timestamp"):
            return f"t.{name} - c.shift"
        if name in {"start_time", "end_time"} or (name.endswith("timestamp") and kind == "double precision"):
            return f"t.{name} - extract(epoch FROM c.shift)"
        if kind in {"text", "character varying"}:
            return f"replace(t.{name}, c.source, c.run_id)"
        return f"t.{name}"

    values = ", ".join(value(name, kind) for name, kind in names.items())
    query = (
        f"INSERT INTO {table} ({', '.join(names)}) SELECT {values} FROM {table} t "
        f"JOIN copies c ON t.run_id = c.source ORDER BY c.ago DESC, t.id"
    )
    connection.execute(query.encode())


def fill(at: Machine, rates: Mapping[str, int], sources: Mapping[str, str], start: int, end: int) -> None:
    """Copy the runs of each job for the days from `start` to `end`, counted back from now."""
    with at.database("DAGSTER_DATABASE_URL") as connection:
        for n, (job, a_day) in enumerate(rates.items()):
            with connection.transaction():
                values = {"run": sources[job], "a_day": a_day, "from": start, "to": end, "offset": n}
                connection.execute(COPIES, values)
                for table in ("runs", "run_tags", "event_logs", "asset_check_executions"):
                    copy_rows(connection, table)
        connection.execute("VACUUM ANALYZE")


def sizes(at: Machine) -> tuple[int, dict[str, tuple[int, int]]]:
    """Return the bytes of the database, and the rows and bytes of its tables, with their indexes."""
    with at.database("DAGSTER_DATABASE_URL") as connection:
        rows = {
            table: connection.execute(
                f"SELECT count(*), pg_total_relation_size('{table}') FROM {table}".encode()
            ).fetchall()[0]
            for table in TABLES
        }
        (size,) = connection.execute("SELECT pg_database_size(current_database())").fetchall()[0]
    return size, rows


def show(at: Machine, what: str) -> int:
    size, rows = sizes(at)
    say(
        f"{what}: {size / 1e6:,.0f} MB; "
        + ", ".join(f"{table} {n:,} ({part / 1e6:,.0f} MB)" for table, (n, part) in rows.items())
    )
    return size


def empty(at: Machine, kept: Mapping[str, str]) -> None:
    """Delete the copies."""
    with at.database("DAGSTER_DATABASE_URL") as connection:
        for table in ("run_tags", "event_logs", "asset_check_executions", "runs"):
            query = f"DELETE FROM {table} WHERE run_id <> ALL(%s)"
            connection.execute(query.encode(), [list(kept.values())])
        connection.execute("VACUUM FULL")


def one_run_of_each(at: Machine) -> dict[str, str]:
    """Launch each job once; return the ids of the runs."""
    runs, day = DagsterRuns(at.variables["DAGSTER_URL"]), today(at).date().isoformat()
    found = {}
    for job in {**BEFORE, **AFTER, **AN_HOUR}:
        run = runs.launch(job, day)
        for _ in runs.follow(run, seconds=300):
            pass
        ended = partial(runs_of, at, "run_id = %s AND status = 'SUCCESS'", run)
        wait_for(f"{job} has ended", ended, 30)
        found[job] = run
    return found


def show_runs(at: Machine, sources: Mapping[str, str]) -> None:
    """Say how many events a run of each job has, and how long they are."""
    with at.database("DAGSTER_DATABASE_URL") as connection:
        for job, run in sources.items():
            query = "SELECT count(*), coalesce(sum(length(event)), 0) FROM event_logs WHERE run_id = %s"
            (events, length) = connection.execute(query.encode(), [run]).fetchall()[0]
            say(f"a run of {job}: {events} events, {length / 1000:.1f} kB")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make trial NAME=dagster-history")
    parser.add_argument("--days", type=int, default=30, help="days at the rates of before; scaled to 30")
    parser.add_argument("--removed", type=int, default=1, help="days beyond RUN_HISTORY_DAYS to remove")
    parser.add_argument("--hours", type=int, default=24, help="hours of a day in which mails are sent")
    options = parser.parse_args()
    now = AFTER | {job: options.hours * runs for job, runs in AN_HOUR.items()}
    with (
        tempfile.TemporaryDirectory() as folder,
        machine(Path(folder) / "history", workers=0, PLAN_AT=in_minutes(120)) as at,
    ):
        insert_team(at, 300)
        sources = one_run_of_each(at)
        show_runs(at, sources)
        nothing = show(at, "one run of each job")
        fill(at, BEFORE, sources, 0, options.days)
        size = show(at, f"{options.days} days before") - nothing
        say(f"a month before: {size / 1e6 * HISTORY_DAYS / options.days:,.0f} MB, and growing")
        empty(at, sources)
        fill(at, now, sources, 0, HISTORY_DAYS)
        show(at, f"{HISTORY_DAYS} days now")
        fill(at, now, sources, HISTORY_DAYS, HISTORY_DAYS + options.removed)
        show(at, f"with {options.removed} older days")
        began, removed = time.monotonic(), 0
        os.environ |= {name: at.variables[name] for name in ("DAGSTER_HOME", "DAGSTER_DATABASE_URL")}
        with DagsterInstance.from_config(at.variables["DAGSTER_HOME"]) as instance:
            for batch in remove_old_runs(instance, datetime.now(UTC), HISTORY_DAYS):
                removed += batch.removed
        say(f"removed {removed:,} runs in {time.monotonic() - began:.0f} s")
        with at.database("DAGSTER_DATABASE_URL") as connection:
            connection.execute("VACUUM ANALYZE")
        size = show(at, "steady state")
    if size > 500e6:
        raise SystemExit("WRONG: more than 500 MB.")
    say("passed")


if __name__ == "__main__":
    main()
