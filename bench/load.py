"""Finds the highest rate at which all parts keep up together: `make bench ARGS="load [RATE…]"`.

Each rate gets a new database with the contacts that are mailed in half a minute. The planner plans them into
that time. One thread each calls the functions of Dagster's jobs for dispatch and results every two seconds,
in place of the daemon. One worker, the benchmark's queue and its mail sink run as processes; Postgres is
durable. The lateness of a mail is the time from its `send_at` to its acceptance by the sink.
"""

from __future__ import annotations

import json
import os
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.worker import Bench, ended, servers, sink
from local_stack.postgres import OWNER, Postgres
from local_stack.processes import wait_until
from sequence_pipelines.dispatch.dispatcher import dispatch
from sequence_pipelines.planning.planner import make_plan
from sequence_pipelines.results.consumer import apply_without_message, consume_results
from sequence_store.postgres.connection import connect
from sequence_store.settings import OwnerSettings, PipelineSettings
from sequence_store.sqs import Queue, create_queues, sqs_client

RATES = (100, 150, 200, 250, 300, 400)
SECONDS = 30
LEAD_SECONDS = 8
MAILBOXES = 50
LATE_SECONDS = 5.0
EVERY_SECONDS = 2.0
CONCURRENCY = 96


def measure(bench: Bench, rate: int) -> dict[str, float]:
    """Mail `rate` contacts per second for SECONDS; return the figures."""
    mails = rate * SECONDS
    name = bench.database(mailboxes=MAILBOXES, mails=mails)
    url = bench.postgres.url(OWNER, name)
    shared = {
        "aws_endpoint_url_sqs": bench.sqs,
        "sends_queue": f"sends-{name}",
        "delivery_results_queue": f"results-{name}",
        "plan_at": "00:00",
    }
    owner = OwnerSettings(database_url=url, **shared)
    pipeline = PipelineSettings(
        pipeline_database_url=url, plan_lead_seconds=0, dispatch_ahead_seconds=20, **shared
    )
    client = sqs_client(owner)
    create_queues(client, owner)
    plan_seconds = _plan(url, pipeline, mails)

    def apply_results(connection: object) -> None:
        results = Queue.look_up(client, pipeline.delivery_results_queue)
        consume_results(connection, results, pipeline)  # type: ignore[arg-type]
        apply_without_message(connection, pipeline)  # type: ignore[arg-type]

    def dispatch_due(connection: object) -> None:
        dispatch(connection, Queue.look_up(client, pipeline.sends_queue), pipeline)  # type: ignore[arg-type]

    stop = threading.Event()
    jobs = [
        threading.Thread(target=_every, args=(stop, url, autocommit, job))
        for autocommit, job in ((True, dispatch_due), (False, apply_results))
    ]
    before, machine_before = os.times(), _busy()
    database_before = _cpu_of(bench.postgres)
    with sink(bench.folder) as (port, accepted):
        worker = bench.start(name, owner, port, CONCURRENCY)
        for job in jobs:
            job.start()
        try:
            with connect(url, name="bench", autocommit=True) as connection:

                def advanced() -> bool:
                    time.sleep(0.5)
                    row = connection.execute(
                        "SELECT count(*) FROM sends WHERE advanced_at IS NOT NULL"
                    ).fetchone()
                    return row is not None and row[0] == mails

                assert wait_until(advanced, SECONDS * 4), "not all mails were sent and advanced"
        finally:
            stop.set()
            for job in jobs:
                job.join(20)
            worker_cpu = ended(worker)
    after = os.times()
    times = accepted()
    late = sorted(times[contact] - at for contact, at in bench.planned(name).items())
    with connect(url, name="bench") as connection:
        row = connection.execute(
            "SELECT max(extract(epoch FROM dispatched_at - send_at))::float8, "
            "max(extract(epoch FROM advanced_at - finished_at))::float8 FROM sends"
        ).fetchall()[0]
    client.close()
    found = {
        "rate": rate,
        "mails": mails,
        "plan_s": plan_seconds,
        "median_s": statistics.median(late),
        "p99_s": late[int(0.99 * len(late))],
        "latest_s": late[-1],
        "dispatched_at_latest_s": float(str(row[0])),
        "advanced_after_at_most_s": float(str(row[1])),
        "worker_cores": worker_cpu / SECONDS,
        "dispatch_and_results_cores": (after.user + after.system - before.user - before.system) / SECONDS,
        "postgres_cores": (_cpu_of(bench.postgres) - database_before) / SECONDS,
        "machine_cores": (_busy() - machine_before) / SECONDS,
    }
    print(json.dumps({name: round(value, 3) for name, value in found.items()}), flush=True)
    return found


def _plan(url: str, pipeline: PipelineSettings, mails: int) -> float:
    """Plan all contacts into the next half minute; return the seconds that the plan took."""
    begins = (datetime.now(UTC) + timedelta(seconds=LEAD_SECONDS)).replace(microsecond=0)
    with connect(url, name="bench", autocommit=True) as connection:
        connection.execute("INSERT INTO sequences_mailboxes SELECT 1, id FROM mailboxes")
        connection.execute(
            "UPDATE mailboxes SET send_start_time = %s, send_end_time = %s",
            (begins.time(), (begins + timedelta(seconds=SECONDS)).time()),
        )
        connection.execute(
            "UPDATE sequences_contacts SET next_send = %s", (pipeline.calendar.day_of(begins),)
        )
    started = time.perf_counter()
    with connect(url, name="bench plan") as connection:
        planned = len(make_plan(connection, pipeline, datetime.now(UTC)).placed)
    plan_seconds = time.perf_counter() - started
    assert planned == mails, f"only {planned} of {mails} mails have a slot"
    # The window ends with the last mail, but mails may be late in this measurement.
    with connect(url, name="bench") as connection:
        connection.execute("UPDATE sends SET not_after = not_after + interval '1 hour'")
    return plan_seconds


def _every(
    stop: threading.Event,
    url: str,
    autocommit: bool,  # noqa: FBT001
    job: Callable[[object], None],
) -> None:
    while not stop.is_set():
        with connect(url, name="bench job", autocommit=autocommit) as connection:
            job(connection)
        stop.wait(EVERY_SECONDS)


def _cpu_of(postgres: Postgres) -> float:
    """Return the CPU seconds of Postgres, of ended and of current sessions."""
    parent = int((postgres.data / "postmaster.pid").read_text().split()[0])
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, fields = stat.parent.name, stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(pid) == parent:
            ticks += sum(map(int, fields[11:15]))  # its own and those of its ended children
        elif int(fields[1]) == parent:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _busy() -> float:
    """Return the CPU seconds of all processes on this machine."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return (sum(map(int, fields[1:])) - int(fields[4]) - int(fields[5])) / os.sysconf("SC_CLK_TCK")


def run(rates: Sequence[int] = RATES) -> None:
    """Measure the rates in turn until a mail is more than LATE_SECONDS late."""
    with servers() as bench:
        for rate in rates:
            if measure(bench, rate)["latest_s"] > LATE_SECONDS:
                break
