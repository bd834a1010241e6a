"""Measures the archiving of a year of sends, and the bytes per row before and after."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import psycopg

import migrations
from bench.cluster import measuring_postgres
from local_stack.postgres import OWNER
from sequence_pipelines.maintenance.archive import archive_sends
from sequence_store.postgres.connection import connect

ROWS = 1_000_000
STEPS = 4

# Enrolments with four mails each, spread over a year that ended 400 days ago; one in five is active.
FILL = """
INSERT INTO sequences (sequence_name) SELECT 's' || n FROM generate_series(1, 100) n;
INSERT INTO contacts (name, mail_address) SELECT 'c' || n, 'c' || n || '@people.example'
FROM generate_series(1, {enrolments}) n;
INSERT INTO sequences_contacts (sequence_id, contact_id, status)
SELECT 1 + n % 100, n, CASE WHEN n % 5 = 0 THEN 'active' ELSE 'completed' END
FROM generate_series(1, {enrolments}) n;
INSERT INTO sends (sequence_id, contact_id, step_id, round, mailbox_id, due_day, plan_day, send_day, send_at,
    not_after, status, dispatched_at, transmitting_at, finished_at, smtp_code, smtp_reply,
    provider_message_id, advanced_at)
SELECT 1 + n % 100, n, 1 + (n % 100) * 4 + step, 1, 1 + n % 1000, at::date, at::date, at::date, at,
    at + interval '2 hours', 'sent', at, at, at, 250,
    '250 2.0.0 Ok: queued as 4XyZ12abcDz9', '4XyZ12abcDz9', at
FROM generate_series(1, {enrolments}) n, generate_series(0, {steps} - 1) step,
    LATERAL (SELECT now() - interval '800 days'
        + ((n::bigint * 7919 + step * 104729) % {enrolments}) * interval '1 year' / {enrolments} AS at) t
ORDER BY t.at;
VACUUM ANALYZE sends;
"""


def run(rows: int = ROWS) -> None:
    """Print rows per second, and bytes per row with indexes."""
    with measuring_postgres() as postgres:
        postgres.create_database("bench_archive")
        url = postgres.url(OWNER, "bench_archive")
        migrations.upgrade(url)
        with connect(url, name="bench", autocommit=True) as connection:
            for statement in FILL.format(enrolments=rows // STEPS, steps=STEPS).split(";"):
                if statement.strip():
                    connection.execute(statement.encode())
            before = _bytes(connection, "sends") / rows
            started, slowest, archived = time.perf_counter(), 0.0, 0
            lap = started
            for batch in archive_sends(connection, datetime.now(UTC) - timedelta(days=400)):
                archived += batch.archived
                slowest, lap = max(slowest, time.perf_counter() - lap), time.perf_counter()
            seconds = time.perf_counter() - started
            after = _bytes(connection, "archived_sends") / max(1, archived)
    print(
        f"{archived:,} of {rows:,} sends archived: {seconds:.1f} s, {archived / seconds:,.0f} rows/s, "
        f"longest batch {slowest:.2f} s; {before:.0f} bytes per send with indexes, {after:.0f} in the archive"
    )


def _bytes(connection: psycopg.Connection, table: str) -> int:
    row = connection.execute("SELECT pg_total_relation_size(%s::regclass)", (table,)).fetchone()
    assert row is not None
    return int(row[0])
