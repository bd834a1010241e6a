"""A day with Dagster's own daemon, schedule and sensors: nothing here calls a function of the pipeline."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from local_stack.env_file import env_file_of, read_env_file
from local_stack.processes import wait_until

ROOT = Path(__file__).parents[2]
SEQUENCES = str(Path(sys.executable).parent / "sequences")
UNTIL_TICK = timedelta(seconds=80)  # the stack needs a part of it to start


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A project folder of its own, whose stack is stopped afterwards."""
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    try:
        yield tmp_path
    finally:
        subprocess.run([SEQUENCES, "stack", "down"], cwd=tmp_path, check=True, timeout=120)


@pytest.mark.end_to_end
@pytest.mark.timeout(600)
def test_the_schedules_tick_mails_who_is_due_and_moves_them_to_their_next_step(project: Path) -> None:
    tick = (datetime.now(UTC) + UNTIL_TICK).replace(second=0, microsecond=0) + timedelta(minutes=1)
    settings = {"PLAN_AT": tick.strftime("%H:%M"), "PLAN_LEAD_SECONDS": "10"}
    subprocess.run(
        [SEQUENCES, "stack", "up", "--detach"],
        cwd=project,
        env=os.environ | settings,
        check=True,
        timeout=300,
    )
    stack = read_env_file(env_file_of(project))
    with psycopg.connect(stack["DATABASE_URL"], autocommit=True) as connection:
        contacts = enter_case(connection, tick)
        assert wait_until(
            lambda: count(connection, "status = 'sent' AND advanced_at IS NOT NULL") == contacts, 420
        ), connection.execute("SELECT status, reason, count(*) FROM sends GROUP BY 1, 2").fetchall()
        sent = connection.execute(
            "SELECT c.mail_address, s.send_at FROM sends s JOIN contacts c ON c.id = s.contact_id"
        ).fetchall()
        enrolments = connection.execute(
            "SELECT DISTINCT status, current_step, next_send - last_send, last_send FROM sequences_contacts"
        ).fetchall()
    assert enrolments == [("active", 2, 3, tick.date())]
    with urllib.request.urlopen(f"{stack['MAIL_SINK_URL']}/api/messages", timeout=20) as answer:
        accepted = {mail["rcpt_to"][0]: mail for mail in json.load(answer)}
    assert len(accepted) == contacts
    for address, send_at in sent:
        late = datetime.fromisoformat(accepted[address]["accepted_at"]) - send_at
        assert timedelta(0) <= late <= timedelta(seconds=2)
        assert accepted[address]["mail_from"] == "ann@sender.example"


def enter_case(connection: psycopg.Connection[tuple[object, ...]], tick: datetime, contacts: int = 3) -> int:
    """Enter a sequence of two steps and a mailbox whose window closes two minutes after the tick."""
    closes = (tick + timedelta(minutes=2)).strftime("%H:%M")
    connection.execute("INSERT INTO sequences (id, sequence_name) VALUES (1, 'Welcome')")
    connection.execute(
        "INSERT INTO steps (sequence_id, step_number, mail_subject, mail_content, delay_days) "
        "VALUES (1, 1, 'Hi', 'Hello {{ contact.name }}', 0), (1, 2, 'Again', 'Hello', 3)"
    )
    connection.execute(
        "INSERT INTO mailboxes (id, address, send_limit, send_start_time, send_end_time) "
        "VALUES (1, 'ann@sender.example', 500, %s, %s)",
        (tick.strftime("%H:%M"), closes),
    )
    connection.execute("INSERT INTO sequences_mailboxes VALUES (1, 1)")
    for number in range(1, contacts + 1):
        connection.execute(
            "INSERT INTO contacts (id, name, mail_address) VALUES (%s, 'Bob', %s)",
            (number, f"bob{number}@people.example"),
        )
        connection.execute(
            "INSERT INTO sequences_contacts (sequence_id, contact_id, next_send) VALUES (1, %s, %s)",
            (number, tick.date()),
        )
    return contacts


def count(connection: psycopg.Connection[tuple[object, ...]], where: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM sends WHERE {where}").fetchone()  # type: ignore[arg-type]
    assert row is not None
    return int(str(row[0]))
