"""`make bench`: what a plan costs, as a ratio to the plain INSERT … SELECT of the same finished rows."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from datetime import UTC, date, datetime
from pathlib import Path

import migrations
from local_stack.ports import free_port
from local_stack.postgres import OWNER, Postgres
from sequence_pipelines.planner import make_plan
from sequence_store.database import connect
from sequence_store.settings import PipelineSettings

DAY, NOW = date(2026, 6, 15), datetime(2026, 6, 15, 4, 0, 30, tzinfo=UTC)
REPEATS = 3

FILL = """
INSERT INTO sequences (sequence_name) SELECT 's' || n FROM generate_series(1, greatest(1, %(due)s / 200)) n;
INSERT INTO steps (sequence_id, step_number, mail_content, delay_days)
    SELECT s.id, n, 'Hi', 2 FROM sequences s, generate_series(1, 3) n;
INSERT INTO mailboxes (address, send_limit, send_start_time, send_end_time)
    SELECT n || '@sender.example', 100, '09:00', '17:00' FROM generate_series(1, greatest(5, %(due)s / 100)) n;
INSERT INTO sequences_mailboxes SELECT s.id, m FROM sequences s, LATERAL (
    SELECT DISTINCT 1 + (s.id * 7919 + k * 104729) %% (SELECT count(*) FROM mailboxes) AS m FROM generate_series(1, 5) k) x;
INSERT INTO contacts (name, mail_address) SELECT 'c', n || '@people.example' FROM generate_series(1, 3 * %(due)s) n;
INSERT INTO sequences_contacts (sequence_id, contact_id, current_step, next_send, last_send, mailbox_id)
    SELECT q, c.id, CASE WHEN c.id %% 3 = 0 THEN 1 ELSE 2 END,
        CASE WHEN c.id %% 3 = 1 THEN date '2026-06-15' ELSE date '2026-06-15' + (c.id %% 2)::int * 3 END,
        CASE WHEN c.id %% 3 <> 0 THEN date '2026-06-10' END,
        CASE WHEN c.id %% 3 <> 0 THEN (SELECT min(mailbox_id) + 0 FROM sequences_mailboxes WHERE sequence_id = q) END
    FROM contacts c, LATERAL (SELECT 1 + c.id %% (SELECT count(*) FROM sequences) AS q) x;
ANALYZE;
"""


def main() -> None:
    sizes = [int(size) for size in sys.argv[1:]] or [10_000, 100_000]
    settings = {"shared_buffers": "1GB", "work_mem": "64MB", "max_wal_size": "8GB", "jit": "off"}
    with tempfile.TemporaryDirectory() as folder:
        postgres = Postgres(Path(folder) / "postgres", free_port(), settings=settings)
        postgres.start()
        try:
            postgres.create_owner()
            for size in sizes:
                measure(postgres, size)
        finally:
            postgres.stop()


def measure(postgres: Postgres, due: int) -> None:
    name = f"bench_{due}"
    postgres.create_database(name)
    url = postgres.url(OWNER, name)
    migrations.upgrade(url)
    with connect(url, name="bench", autocommit=True) as connection:
        for statement in (FILL % {"due": due}).split(";\n"):
            if statement.strip():
                connection.execute(statement.encode())
    settings = PipelineSettings(pipeline_database_url=url)
    plans, limits = [], []
    for _ in range(REPEATS):
        with connect(url, name="bench") as connection:
            began = time.perf_counter()
            plan = make_plan(connection, settings, NOW)
            connection.commit()
            plans.append(time.perf_counter() - began)
            limits.append(insert_select(connection))
    ratio = statistics.median(p / limit for p, limit in zip(plans, limits, strict=True))
    planned, waiting = len(plan.placed), len(plan.waiting)
    print(
        f"{planned + waiting} due, {planned} planned: {statistics.median(plans):.2f} s, "
        f"{planned / statistics.median(plans):,.0f} rows/s, {ratio:.2f} x INSERT ... SELECT ({statistics.median(limits):.2f} s)"
    )


def insert_select(connection) -> float:  # noqa: ANN001
    """Time the same rows going into the same, emptied table by one statement; leave it empty."""
    connection.execute("CREATE TEMP TABLE finished AS SELECT * FROM sends ORDER BY send_at")
    connection.execute("TRUNCATE sends, plan_deferrals, mailbox_days")
    connection.commit()
    began = time.perf_counter()
    connection.execute("INSERT INTO sends SELECT * FROM finished")
    connection.commit()
    spent = time.perf_counter() - began
    connection.execute("DROP TABLE finished")
    connection.execute("TRUNCATE sends")
    connection.commit()
    return spent


main()
