"""Fixture `world`: inserts sequences, mailboxes and contacts into a real database by SQL, as a CRM would."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import count
from typing import Any

import psycopg
import pytest

from sequence_pipelines.planning.planner import Plan, make_plan
from sequence_store.postgres.connection import connect
from sequence_store.settings import PipelineSettings

MORNING = datetime(2026, 6, 15, 4, 0, 30, tzinfo=UTC)  # a Monday, just after a planning day began
TODAY = date(2026, 6, 15)


@dataclass
class World:
    """Inserts rows with defaults; the inserting methods return the id."""

    connection: psycopg.Connection[Any]
    settings: PipelineSettings
    pipeline_url: str
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def one(self, statement: str, *parameters: Any) -> Any:
        row = self.connection.execute(statement, parameters).fetchone()  # type: ignore[arg-type]
        assert row is not None
        return row[0] if len(row) == 1 else row

    def run(self, statement: str, *parameters: Any) -> int:
        return self.connection.execute(statement, parameters).rowcount  # type: ignore[arg-type]

    def insert(self, table: str, **values: Any) -> int:
        columns = ", ".join(values)
        placeholders = ", ".join(["%s"] * len(values))
        return int(
            self.one(
                f"INSERT INTO {table} ({columns}) VALUES ({placeholders}) RETURNING id", *values.values()
            )
        )

    def sequence(
        self, *, steps: int = 3, delay: int = 2, mailboxes: tuple[int, ...] = (), **values: Any
    ) -> int:
        sequence = self.insert("sequences", **{"sequence_name": f"sequence {next(self.numbers)}"} | values)
        for number in range(1, steps + 1):
            self.step(sequence, number, delay_days=0 if number == 1 else delay)
        for mailbox in mailboxes:
            self.run("INSERT INTO sequences_mailboxes VALUES (%s, %s)", sequence, mailbox)
        return sequence

    def step(self, sequence: int, number: int, **values: Any) -> int:
        defaults = {
            "sequence_id": sequence,
            "step_number": number,
            "mail_subject": "Hello",
            "mail_content": "Hi",
        }
        return self.insert("steps", **defaults | values)

    def step_id(self, sequence: int, number: int) -> int:
        return int(
            self.one(
                "SELECT id FROM steps WHERE sequence_id = %s AND step_number = %s AND deleted_at IS NULL",
                sequence,
                number,
            )
        )

    def mailbox(self, **values: Any) -> int:
        defaults = {
            "address": f"box{next(self.numbers)}@sender.example",
            "send_limit": 50,
            "send_start_time": "09:00",
            "send_end_time": "17:00",
        }
        return self.insert("mailboxes", **defaults | values)

    def contact(self, **values: Any) -> int:
        number = next(self.numbers)
        return self.insert(
            "contacts", **{"name": f"Contact {number}", "mail_address": f"c{number}@people.example"} | values
        )

    def enrol(self, sequence: int, contact: int | None = None, **values: Any) -> int:
        contact = contact if contact is not None else self.contact()
        values = {"sequence_id": sequence, "contact_id": contact, "next_send": TODAY} | values
        columns = ", ".join(values)
        placeholders = ", ".join(["%s"] * len(values))
        self.run(f"INSERT INTO sequences_contacts ({columns}) VALUES ({placeholders})", *values.values())
        return contact

    def follow_up(self, sequence: int, mailbox: int, *, step: int = 2, **values: Any) -> int:
        defaults = {"current_step": step, "mailbox_id": mailbox, "last_send": date(2026, 6, 10)}
        return self.enrol(sequence, **defaults | values)

    def plan(self, now: datetime = MORNING, **settings: Any) -> Plan:
        """Make a plan as the pipeline's role, check that it violates no invariant, and commit it."""
        with connect(self.pipeline_url, name="test planner") as connection:
            plan = make_plan(connection, self.settings.model_copy(update=settings), now)
            assert not any(plan.violations.values()), plan.violations
            return plan

    def rows(self, where: str = "true", *parameters: Any) -> list[dict[str, Any]]:
        with self.connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
            statement = f"SELECT * FROM sends WHERE {where} ORDER BY send_at, contact_id"
            cursor.execute(statement, parameters)  # type: ignore[arg-type]
            return cursor.fetchall()

    def reasons(self) -> dict[int, str]:
        return dict(self.connection.execute("SELECT contact_id, reason FROM plan_deferrals").fetchall())

    def enrolment(self, sequence: int, contact: int) -> dict[str, Any]:
        with self.connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
            cursor.execute(
                "SELECT * FROM sequences_contacts WHERE sequence_id = %s AND contact_id = %s",
                (sequence, contact),
            )
            row = cursor.fetchone()
            assert row is not None
            return row

    def finish(self, status: str = "sent", where: str = "status = 'planned'", *parameters: Any) -> int:
        """Finish sends as the worker would, without mailing; return how many."""
        return self.run(
            f"UPDATE sends SET status = %s, finished_at = send_at, transmitting_at = send_at WHERE {where}",
            status,
            *parameters,
        )

    def ledger(self) -> list[tuple[Any, ...]]:
        """Return all rows of the tables that a plan may write, to compare two states."""
        tables = ("sends", "plan_deferrals", "mailbox_days", "sequences_contacts", "plan_cuts")
        return [
            row
            for t in tables
            for row in self.connection.execute(f"SELECT * FROM {t} ORDER BY 1, 2").fetchall()
        ]  # type: ignore[arg-type]


@pytest.fixture
def world(database: Any, settings: Any) -> Iterator[World]:
    with database.connect("owner", autocommit=True) as connection:
        yield World(connection, settings.pipeline, database.pipeline)
