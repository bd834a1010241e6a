"""Measures a plan, compared with a limit: INSERT … SELECT of the same rows into the same table.

Each plan runs in a new process, so its peak memory is its own. Plans and limits are measured in turn.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import psycopg

import migrations
from bench.cluster import measuring_postgres
from bench.instance import add_history, fill
from local_stack.postgres import OWNER, SUPERUSER, Postgres
from sequence_store.postgres.connection import connect
from sequence_store.settings import PipelineSettings

SIZES = [10_000, 100_000]
REPEATS = 5
SEQUENCES_EACH = 3


@dataclass
class Costs:
    """Seconds of each repeat, for one number of due contacts."""

    due: int
    planned: int = 0
    core: list[float] = field(default_factory=list)
    dagster: list[float] = field(default_factory=list)
    limit: list[float] = field(default_factory=list)
    phases: list[dict[str, float]] = field(default_factory=list)
    core_peak_mb: int = 0
    dagster_peak_mb: int = 0

    def ratio(self, of: list[float]) -> float:
        return statistics.median(a / b for a, b in zip(of, self.limit, strict=True))

    def line(self) -> str:
        core, limit = statistics.median(self.core), statistics.median(self.limit)
        return (
            f"{self.due:>10,} due {self.planned:>10,} planned"
            f" | core {core:7.2f} s {self.planned / core:>9,.0f} rows/s {self.core_peak_mb:>5} MB"
            f" {self.ratio(self.core):5.2f} x limit ({limit:.2f} s)"
            f" | as Dagster runs it {statistics.median(self.dagster):7.2f} s {self.dagster_peak_mb:>5} MB"
            f" {self.ratio(self.dagster):5.2f} x limit"
        )


def run(sizes: list[int], *, repeats: int = REPEATS, history: int = 0) -> None:
    with measuring_postgres() as postgres:
        for due in sizes:
            url = team(postgres, due)
            costs = measure(postgres, url, due, repeats)
            print(costs.line(), flush=True)
            _print_phases(costs)
            quality = in_a_process("quality", url)
            print(
                f"           planned {quality['planned']:,} of a maximum flow of {quality['optimum']:,},"
                f" spread {quality['spread']:.3f}; mailboxes assigned in {quality['seconds']:.2f} s",
                flush=True,
            )
            forecast = in_a_process("forecast", url)
            ratio = forecast["seconds"] / statistics.median(costs.core)
            print(
                f"           forecast of 14 days, {forecast['planned']:,} mails:"
                f" {forecast['seconds']:.2f} s, {ratio:.1f} x the core",
                flush=True,
            )
            if history:
                _compare_with_history(postgres, url, costs, history, repeats)
            postgres.drop_database(f"bench_{due}")


def run_shared(due: int, *, repeats: int) -> None:
    """Print the core's time for contacts that are due in three sequences, compared with one sequence."""
    with measuring_postgres() as postgres:
        urls = {each: team(postgres, due, sequences_each=each) for each in (1, SEQUENCES_EACH)}
        found: dict[int, list[dict[str, Any]]] = {each: [] for each in urls}
        for each, url in [*urls.items()] * repeats:
            with connect(url, name="bench", autocommit=True) as connection:
                connection.execute("TRUNCATE sends, plan_deferrals, mailbox_days, plan_cuts")
            with psycopg.connect(postgres.url(SUPERUSER), autocommit=True) as superuser:
                superuser.execute("CHECKPOINT")
            found[each].append(in_a_process("core", url))
    spent = {each: statistics.median(one["seconds"] for one in some) for each, some in found.items()}
    for each, some in found.items():
        print(
            f"{due:>10,} contacts in {each}: {some[0]['planned']:,} planned,"
            f" {some[0]['waiting']:,} enrolments wait,"
            f" {spent[each]:.2f} s, {max(one['peak_mb'] for one in some)} MB; "
            + ", ".join(f"{name} {value:.2f} s" for name, value in some[-1]["phases"].items()),
            flush=True,
        )
    print(f"           {spent[SEQUENCES_EACH] / spent[1]:.2f} x the plain shape", flush=True)


def team(postgres: Postgres, due: int, *, sequences_each: int = 1) -> str:
    """Create a database with a team of `due` due contacts; return its owner's URL."""
    name = f"bench_{due}" if sequences_each == 1 else f"bench_{due}_in_{sequences_each}"
    postgres.create_database(name)
    url = postgres.url(OWNER, name)
    migrations.upgrade(url)
    with connect(url, name="bench", autocommit=True) as connection:
        pads = PipelineSettings(pipeline_database_url=url).address_pads
        fill(connection, due, pads, sequences_each=sequences_each)
    return url


def measure(postgres: Postgres, url: str, due: int, repeats: int) -> Costs:
    costs = Costs(due)
    with (
        connect(url, name="bench", autocommit=True) as connection,
        psycopg.connect(postgres.url(SUPERUSER), autocommit=True) as superuser,
    ):
        before = "CREATE TABLE before AS SELECT * FROM sends"
        connection.execute(before)
        for _ in range(repeats):
            superuser.execute("CHECKPOINT")
            once = in_a_process("core", url)
            costs.core.append(once["seconds"])
            costs.phases.append(once["phases"])
            costs.planned, costs.core_peak_mb = once["planned"], max(costs.core_peak_mb, once["peak_mb"])
            costs.limit.append(seconds_of_limit(connection, superuser))
            superuser.execute("CHECKPOINT")
            once = in_a_process("dagster", url)
            costs.dagster.append(once["seconds"])
            costs.dagster_peak_mb = max(costs.dagster_peak_mb, once["peak_mb"])
            forget_plan(connection)
        connection.execute("DROP TABLE before")
    return costs


def in_a_process(what: str, url: str) -> dict[str, Any]:
    """Run `bench.plan_once` and return its figures; raise RuntimeError with its output if it fails."""
    command = [sys.executable, "-m", "bench.plan_once", what, url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def seconds_of_limit(connection: psycopg.Connection, superuser: psycopg.Connection) -> float:
    """Return the seconds of one statement that inserts the plan's rows in the same order."""
    connection.execute("CREATE TABLE finished AS SELECT s.* FROM sends s WHERE plan_day = '2026-06-15'")
    forget_plan(connection)
    superuser.execute("CHECKPOINT")
    began = time.perf_counter()
    connection.execute("INSERT INTO sends SELECT * FROM finished")
    spent = time.perf_counter() - began
    connection.execute("DROP TABLE finished")
    forget_plan(connection)
    return spent


def forget_plan(connection: psycopg.Connection) -> None:
    connection.execute("TRUNCATE plan_deferrals, mailbox_days")
    if connection.execute("SELECT FROM before LIMIT 1").fetchone():
        connection.execute("DELETE FROM sends WHERE plan_day = '2026-06-15'")
        connection.execute("VACUUM sends")
    else:
        connection.execute("TRUNCATE sends")


def _print_phases(costs: Costs) -> None:
    names = costs.phases[0]
    print(
        "           " + ", ".join(f"{n} {statistics.median(p[n] for p in costs.phases):.2f} s" for n in names)
    )


def _compare_with_history(postgres: Postgres, url: str, without: Costs, history: int, repeats: int) -> None:
    with connect(url, name="bench", autocommit=True) as connection:
        add_history(connection, without.due, history)
    with_history = measure(postgres, url, without.due, repeats)
    print(f"with {history:,} finished rows of the last year:")
    print(with_history.line(), flush=True)
    _print_phases(with_history)
    ratio = statistics.median(with_history.core) / statistics.median(without.core)
    print(f"           {ratio:.2f} x the core's time without them", flush=True)
