"""Measures outcomes: a day of mails as facts, statistics of ten million mails, and the worker with the feed.

`make bench ARGS="outcomes [PART…]"`; parts: `facts`, `stats`, `worker`.
"""

from __future__ import annotations

import itertools
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

import migrations
from bench import worker
from bench.cluster import measuring_postgres
from local_stack.ports import LOOPBACK, answers, free_port
from local_stack.postgres import OWNER, Postgres
from local_stack.processes import end, launch, wait_ready
from sequence_pipelines.maintenance.facts import FactFiles
from sequence_store.feed import drain_feed
from sequence_store.postgres.connection import connect
from sequence_store.settings import Settings

PARTS = ("facts", "stats", "worker")
MAILS = 1_000_000
ROLLED_UP = 10_000_000
REQUESTS = 400
TURNS = 5

# A finished mail of a day for each contact; one in ten was opened, one in fifty replied to.
FILL = """
INSERT INTO sequences (sequence_name) SELECT 's' || n FROM generate_series(1, 100) n;
INSERT INTO steps (sequence_id, step_number, mail_content) SELECT n, 1, 'x' FROM generate_series(1, 100) n;
INSERT INTO mailboxes (address, send_limit, send_start_time, send_end_time)
SELECT 'box' || n || '@sender.example', 1000, '00:00', '00:00' FROM generate_series(1, 1000) n;
INSERT INTO contacts (name, mail_address) SELECT 'c' || n, 'c' || n || '@people.example'
FROM generate_series(1, {mails}) n;
INSERT INTO sends (sequence_id, contact_id, step_id, round, mailbox_id, due_day, plan_day, send_day, send_at,
    not_after, status, finished_at)
SELECT 1 + n % 100, n, 1 + n % 100, 1, 1 + n % 1000, '{day}', '{day}', '{day}', at, at + interval '2 hours',
    'sent', at + interval '1 second'
FROM generate_series(1, {mails}) n, LATERAL (SELECT '{begins}'::timestamptz
    + (n::float8 / {mails}) * interval '23 hours' AS at) t;
INSERT INTO send_events (sequence_id, contact_id, step_id, round, at, kind, machine)
SELECT sequence_id, contact_id, step_id, round, finished_at, 'sent', NULL::boolean FROM sends
UNION ALL
SELECT sequence_id, contact_id, step_id, round, finished_at + interval '1 hour', 'opened', false FROM sends
WHERE contact_id % 10 = 0
UNION ALL
SELECT sequence_id, contact_id, step_id, round, finished_at + interval '2 hours', 'reply', NULL FROM sends
WHERE contact_id % 50 = 0;
VACUUM ANALYZE
"""

# Sums of 50 mails of each of 1,000 mailboxes on each of 200 days, in 100 sequences of five steps.
ROLL_UPS = """
CREATE TEMPORARY TABLE mails AS
SELECT current_date - (n / 50000)::int AS day, 1 + (n % 100)::int AS sequence,
    1 + ((n % 100) * 5 + (n / 100) % 5)::int AS step, 1 + (n / 50 % 1000)::int AS mailbox
FROM generate_series(0, {mails} - 1) n;
INSERT INTO sequences (sequence_name) SELECT 's' || n FROM generate_series(1, 100) n;
INSERT INTO steps (sequence_id, step_number, mail_content)
SELECT 1 + n / 5, 1 + n % 5, 'x' FROM generate_series(0, 499) n;
INSERT INTO mailboxes (address, send_limit, send_start_time, send_end_time)
SELECT 'box' || n || '@sender.example', 1000, '00:00', '00:00' FROM generate_series(1, 1000) n;
INSERT INTO outcome_days (grain, send_day, sequence_id, step_id, mailbox_id, mails, sent, replied, enrolments)
SELECT g.grain, g.day, g.sequence, g.step, g.mailbox, count(*), count(*), count(*) / 50, count(*) / 5
FROM mails m, LATERAL (VALUES ('day', m.day, 0, 0, 0), ('step', m.day, m.sequence, m.step, 0),
    ('mailbox', m.day, 0, 0, m.mailbox), ('sequence_mailbox', m.day, m.sequence, 0, m.mailbox),
    ('step_month', date_trunc('month', m.day)::date, m.sequence, m.step, 0),
    ('mailbox_month', date_trunc('month', m.day)::date, 0, 0, m.mailbox),
    ('sequence_mailbox_month', date_trunc('month', m.day)::date, m.sequence, 0, m.mailbox)
) g (grain, day, sequence, step, mailbox) GROUP BY 1, 2, 3, 4, 5;
DROP TABLE mails;
VACUUM ANALYZE
"""


def run(parts: Sequence[str] = PARTS, *, mails: int = MAILS) -> None:
    if "facts" in parts or "stats" in parts:
        with measuring_postgres() as postgres:
            if "facts" in parts:
                facts(postgres, mails)
            if "stats" in parts:
                stats(postgres)
    if "worker" in parts:
        compare_worker()


def _filled(postgres: Postgres, name: str, script: str, **values: object) -> str:
    postgres.create_database(name)
    url = postgres.url(OWNER, name)
    migrations.upgrade(url, role_passwords={"sequence_api": postgres.password("sequence_api")})
    with connect(url, name="bench", autocommit=True) as connection:
        for statement in script.format(**values).split(";\n"):
            if statement.strip():
                connection.execute(statement.encode())
    return url


def facts(postgres: Postgres, mails: int) -> None:
    """Print how fast events get positions and become facts, and how fast a day becomes a file."""
    calendar = Settings().calendar
    day = calendar.day_of(datetime.now(UTC)) - timedelta(days=1)
    begins = calendar.start_of(day).isoformat()
    url = _filled(postgres, "bench_facts", FILL, mails=mails, day=day, begins=begins)
    with connect(url, name="bench", autocommit=True) as connection, tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        events = drain_feed(connection)
        while more := drain_feed(connection):
            events += more
        seconds = time.perf_counter() - started
        print(
            f"feed: {events:,} events of {mails:,} mails in {seconds:.1f} s, {events / seconds:,.0f} events/s"
        )
        connection.execute("VACUUM ANALYZE")
        files = FactFiles(folder)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.perf_counter()
        rows = files.write(connection, day, calendar)
        seconds = time.perf_counter() - started
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        size = Path(files.path(day)).stat().st_size
        print(
            f"facts: {rows:,} mails of a day in {seconds:.1f} s, {rows / seconds:,.0f} rows/s, "
            f"{size / 2**20:.0f} MiB, memory grew by {grown / 1024:.0f} MiB"
        )


def stats(postgres: Postgres) -> None:
    """Print the times of GET /stats over HTTP, for 30 and 200 days of ten million mails."""
    _filled(postgres, "bench_stats", ROLL_UPS, mails=ROLLED_UP)
    port = free_port()
    today = datetime.now(UTC).date()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "api.log"
        environment = {
            **os.environ,
            "API_DATABASE_URL": postgres.url("sequence_api", "bench_stats"),
            "API_PORT": str(port),
        }
        program = [str(Path(sys.executable).parent / "sequences"), "api"]
        server = launch(program, log=log, environment=environment)
        try:
            wait_ready(server, lambda: answers(port), log=log, seconds=30)
            with httpx.Client(base_url=f"http://{LOOPBACK}:{port}", trust_env=False) as client:
                sequence = client.get("/sequences", params={"size": 1}).json()[0]["id"]
                for days, by in itertools.product((30, 200), ("sequence", "step", "mailbox", "day")):
                    query = {"by": by, "from": str(today - timedelta(days=days - 1))}
                    _request(client, query, f"{by}, {days} days")
                _request(
                    client,
                    {"by": "mailbox", "from": str(today - timedelta(days=199)), "sequenceId": sequence},
                    "mailbox of a sequence, 200 days",
                )
        finally:
            end(server)


def _request(client: httpx.Client, query: dict[str, str], name: str) -> None:
    times = []
    for _ in range(REQUESTS):
        started = time.perf_counter()
        answer = client.get("/stats", params=query)
        times.append(time.perf_counter() - started)
        assert answer.status_code == 200, answer.text
    mails = sum(row["mails"] for row in answer.json())
    p99 = 1000 * statistics.quantiles(times, n=100)[-1]
    print(
        f"stats by {name}: {len(answer.json()):,} rows of {mails:,} mails, "
        f"median {1000 * statistics.median(times):.1f} ms, p99 {p99:.1f} ms"
    )


class WithoutFeed(worker.Bench):
    """Databases in which the outcome of a mail records no event."""

    def database(self, *, mailboxes: int, mails: int) -> str:
        name = super().database(mailboxes=mailboxes, mails=mails)
        with connect(self.postgres.url(OWNER, name), name="bench", autocommit=True) as connection:
            connection.execute("ALTER TABLE sends DISABLE TRIGGER sends_outcome")
        return name


def compare_worker() -> None:
    """Print the worker's rate with the feed by its rate without, in turns."""
    ratios, rates = [], []
    with worker.servers() as bench:
        for turn in range(TURNS + 1):
            bare = WithoutFeed(bench.folder, bench.postgres, bench.sqs, runs=1000 + turn)
            measured = [
                one.measure(mailboxes=16, concurrency=48).mails_per_second
                for one in ((bench, bare) if turn % 2 else (bare, bench))
            ]
            with_feed, without = measured if turn % 2 else reversed(measured)
            if turn:  # the first turn warms up
                ratios.append(with_feed / without)
                rates.append(with_feed)
    print(
        f"worker: {statistics.median(rates):,.0f} mails/s with the feed, "
        f"{statistics.median(ratios):.3f} x its rate without (from {min(ratios):.3f} to {max(ratios):.3f})"
    )
