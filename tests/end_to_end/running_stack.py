"""Runs a stack whose daily schedule ticks soon, with test data for that plan.

The data is a case of a few contacts that are mailed at once, and a crowd of contacts for the rest of the day.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from local_stack.env_file import env_file_of, read_env_file

ROOT = Path(__file__).parents[2]
SEQUENCES = str(Path(sys.executable).parent / "sequences")
# No request within the stack goes to them; also gRPC and the libraries of the worker read these variables.
DEAD_PROXIES = {
    "HTTP_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
    "ALL_PROXY": "socks5://127.0.0.1:9",
    "all_proxy": "socks5://127.0.0.1:9",
}
# From the start of the stack to the tick at least. A machine that needs longer starts it again.
UNTIL_TICK = (timedelta(seconds=40), timedelta(seconds=100), timedelta(seconds=240))
TO_ENTER_DATA = timedelta(seconds=5)
CASE = 3  # contacts of the case


@dataclass(frozen=True)
class Stack:
    """A running stack in its own project folder."""

    root: Path
    variables: dict[str, str]
    tick: datetime  # tick of the daily plan's schedule

    @property
    def dagster(self) -> str:
        return self.variables["DAGSTER_URL"]

    @property
    def day(self) -> str:
        return self.tick.date().isoformat()

    def day_before(self, days: int) -> str:
        return (self.tick.date() - timedelta(days=days)).isoformat()

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self.variables["DATABASE_URL"], autocommit=True)

    def planned_runs(self) -> int:
        """Count the runs of `daily_plan` that have succeeded."""
        finished = '{pipelineName: "daily_plan", statuses: [SUCCESS]}'
        answer = self.query(f"{{ runsOrError(filter: {finished}) {{ ... on Runs {{ count }} }} }}")
        return int(answer["runsOrError"]["count"])

    def query(self, graphql: str) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self.dagster}/graphql",
            json.dumps({"query": graphql}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            data: dict[str, Any] = json.load(answer)["data"]
        return data


@contextmanager
def running_stack(root: Path) -> Iterator[Stack]:
    """Start the stack behind dead proxies and insert the case and the crowd; stop it afterwards."""
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, root / name)
    try:
        tick = _start_before_tick(root)
        stack = Stack(root, read_env_file(env_file_of(root)), tick)
        with stack.connect() as connection:
            enter_case(connection, tick)
            enter_crowd(connection, tick)
        yield stack
    finally:
        _stop(root)


def _start_before_tick(root: Path) -> datetime:
    """Start the stack so that its daily schedule ticks soon; return the time of the tick."""
    for until_tick in UNTIL_TICK:
        tick = (datetime.now(UTC) + until_tick).replace(second=0, microsecond=0) + timedelta(minutes=1)
        settings = {
            "PLAN_AT": tick.strftime("%H:%M"),
            "PLAN_LEAD_SECONDS": "10",
            "FIRST_PLANNING_DAY": (tick.date() - timedelta(days=30)).isoformat(),
        }
        up = [SEQUENCES, "stack", "up", "--detach"]
        subprocess.run(up, cwd=root, env=os.environ | DEAD_PROXIES | settings, check=True, timeout=300)
        if datetime.now(UTC) + TO_ENTER_DATA < tick:
            return tick
        _stop(root)
        shutil.rmtree(root / ".local")  # with the time at which the schedule was switched on
    raise AssertionError("The stack did not start before its tick.")


def _stop(root: Path) -> None:
    subprocess.run([SEQUENCES, "stack", "down"], cwd=root, check=True, timeout=120)


def enter_case(connection: psycopg.Connection[tuple[object, ...]], tick: datetime) -> None:
    """Insert a sequence of two steps and a mailbox whose window closes two minutes after the tick."""
    closes = (tick + timedelta(minutes=2)).strftime("%H:%M")
    connection.execute("INSERT INTO sequences (id, sequence_name) VALUES (1, 'Welcome')")
    connection.execute(
        "INSERT INTO steps (sequence_id, step_number, mail_subject, mail_content, delay_days) "
        "VALUES (1, 1, 'Hi', 'Hello {{ contact.name }}', 0), (1, 2, 'Again', 'Hello', 3)"
    )
    connection.execute(
        "INSERT INTO mailboxes (id, address, send_limit, send_start_time, send_end_time) "
        "VALUES (1, 'ann@sender.example', 60, %s, %s)",
        (tick.strftime("%H:%M"), closes),
    )
    connection.execute("INSERT INTO sequences_mailboxes VALUES (1, 1)")
    connection.execute(
        "INSERT INTO contacts (id, name, mail_address) "
        "SELECT n, 'Bob', format('bob%%s@people.example', n) FROM generate_series(1, %s) n",
        (CASE,),
    )
    connection.execute(
        "INSERT INTO sequences_contacts (sequence_id, contact_id, next_send) "
        "SELECT 1, n, %s FROM generate_series(1, %s) n",
        (tick.date(), CASE),
    )


def enter_crowd(connection: psycopg.Connection[tuple[object, ...]], tick: datetime) -> None:
    """Insert a sequence that mails all day, with more contacts than its four mailboxes can mail."""
    connection.execute("INSERT INTO sequences (id, sequence_name) VALUES (2, 'News')")
    connection.execute(
        "INSERT INTO steps (sequence_id, step_number, mail_subject, mail_content) "
        "VALUES (2, 1, 'News', 'Hello')"
    )
    connection.execute(
        "INSERT INTO mailboxes (id, address, send_limit, send_start_time, send_end_time) "
        "SELECT n, format('box%s@sender.example', n), 10 * n, '00:00', '00:00' FROM generate_series(2, 5) n"
    )
    connection.execute("INSERT INTO sequences_mailboxes SELECT 2, n FROM generate_series(2, 5) n")
    connection.execute(
        "INSERT INTO contacts (id, name, mail_address) "
        "SELECT n, 'Eve', format('eve%s@people.example', n) FROM generate_series(101, 260) n"
    )
    connection.execute(
        "INSERT INTO sequences_contacts (sequence_id, contact_id, next_send) "
        "SELECT 2, n, %s - mod(n, 3) FROM generate_series(101, 260) n",
        (tick.date(),),
    )


def count(connection: psycopg.Connection[tuple[object, ...]], where: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM sends WHERE {where}").fetchone()  # type: ignore[arg-type]
    assert row is not None
    return int(str(row[0]))
