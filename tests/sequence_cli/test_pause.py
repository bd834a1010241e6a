"""Tests of `sequences pause-all` and `resume-all`: nothing starts in between, and everyone sees it."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from typer.testing import CliRunner

from local_stack.processes import wait_until
from sequence_cli.main import app
from sequence_cli.state_metrics import StateCollector
from sequence_cli.status import advise
from sequence_cli.system_state import read_state
from sequence_pipelines.assets.sending_health import sending_not_paused
from sequence_pipelines.maintenance.invariants import Invariant
from sequence_pipelines.maintenance.verify import Period, verify
from sequence_store.settings import ObserverSettings, read_settings
from tests.sequence_cli.test_everyday import output

GATE = "SELECT verdict, reason FROM mark_transmitting(%s, %s, %s, 1, %s, %s)"


@pytest.fixture
def send(world: Any) -> Any:
    """Return a function that enters a claimed send that is due now, and returns its gate's arguments."""

    def claimed() -> tuple[Any, ...]:
        sequence = world.connection.execute("SELECT id FROM sequences ORDER BY id LIMIT 1").fetchone()[0]
        mailbox = world.connection.execute("SELECT id FROM mailboxes ORDER BY id LIMIT 1").fetchone()[0]
        contact = world.contact()
        world.enrol(sequence, contact)
        step, claim = world.step_id(sequence, 1), uuid4()
        now, day = datetime.now(UTC).replace(microsecond=0), datetime.now(UTC).date()
        world.connection.execute(
            "INSERT INTO sends (sequence_id, contact_id, step_id, round, mailbox_id, due_day, plan_day,"
            " send_day, send_at, not_after, status, claim, lease_until, dispatched_at)"
            " VALUES (%s, %s, %s, 1, %s, %s, %s, %s, %s, %s, 'claimed', %s, %s, %s)",
            (
                *(sequence, contact, step, mailbox, day, day, day, now - timedelta(seconds=5)),
                *(now + timedelta(hours=1), claim, now + timedelta(hours=1), now),
            ),
        )
        return (sequence, contact, step, claim, world.settings.address_pads)

    return claimed


def test_pause_waits_for_the_gate_that_is_being_passed_and_closes_it_for_the_next_mail(
    world: Any,
    send: Any,
    database: Any,
) -> None:
    first, second = send(), send()
    said: list[str] = []
    pause = threading.Thread(target=lambda: said.append(output("pause-all", "--reason", " a  fault ")))
    with database.connect() as gate:
        assert gate.execute(GATE, first).fetchone() == ("transmitting", None)
        pause.start()
        waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        assert wait_until(lambda: world.connection.execute(waits).fetchone() == (1,), 10)
        assert world.connection.execute("SELECT count(*) FROM pauses").fetchone() == (0,)
    pause.join(10)
    assert "All sending is paused since" in said[0]
    assert "1 mails were being transmitted at that moment" in said[0]
    assert world.connection.execute(GATE, second).fetchone() == ("cancelled", "all_paused")
    assert world.connection.execute(
        "SELECT bool_and(transmitting_at < paused_at) FROM sends, pauses WHERE status = 'transmitting'"
    ).fetchone() == (True,)
    assert "is already paused" in output("pause-all", "--reason", "another")
    assert "1 sends were cancelled meanwhile" in output("resume-all")
    assert "Nothing is paused." in output("resume-all")
    assert world.connection.execute(GATE, send()).fetchone() == ("transmitting", None)
    assert world.connection.execute("SELECT reason, resumed_at > paused_at FROM pauses").fetchall() == [
        ("a fault", True)
    ]


def test_pause_is_shown_by_status_as_a_metric_and_in_the_ui_until_it_ends(
    world: Any,
    database: Any,
) -> None:
    def seen() -> tuple[str, bool, str, bool]:
        settings = read_settings(ObserverSettings)
        state = read_state(settings, datetime.now(UTC))
        registry = CollectorRegistry()
        registry.register(StateCollector(lambda: state))
        [metric] = [
            line
            for line in generate_latest(registry).decode().splitlines()
            if "sequences_all_paused " in line[:22]
        ]
        todo = next((line for line in advise(state) if "paused" in line), "")
        status = json.loads(CliRunner().invoke(app, ["status", "--json"]).stdout)
        check = sending_not_paused(database=_Connections(database))
        return metric, bool(status["ledger"]["paused"]), todo, bool(check.passed)

    open_ = ("sequences_all_paused 0.0", False, "", True)
    assert seen() == open_
    output("pause-all", "--reason", "the provider [blocks] us")
    metric, shown, todo, passed = seen()
    assert (metric, shown, passed) == ("sequences_all_paused 1.0", True, False)
    assert "paused since" in todo
    assert "the provider [blocks] us. `sequences resume-all`" in todo
    assert "the provider [blocks] us" in CliRunner().invoke(app, ["status"]).stdout.replace("\n", " ")
    output("resume-all")
    assert seen() == open_


class _Connections:
    def __init__(self, database: Any) -> None:
        self._database = database

    def connect(self) -> Any:
        return self._database.connect("pipeline")


def test_plan_goes_on_during_a_pause_and_its_sends_go_out_after_it(world: Any) -> None:
    output("pause-all", "--reason", "a fault")
    assert json.loads(output("plan", "--json"))["planned"] == 2
    output("resume-all")
    gates = "SELECT closed_gate(s, %s) FROM sends s"
    assert world.connection.execute(gates, (world.settings.address_pads,)).fetchall() == [(None,), (None,)]


def test_mail_that_began_during_a_pause_is_a_violation(world: Any, send: Any, database: Any) -> None:
    assert world.connection.execute(GATE, send()).fetchone() == ("transmitting", None)
    output("pause-all", "--reason", "a fault")

    def found() -> list[tuple[Invariant, str]]:
        now = datetime.now(UTC)
        with database.connect("pipeline") as connection:
            period = Period(now - timedelta(days=1), now + timedelta(days=1))
            violations = list(verify(connection, world.settings, period, now))
        return [(one.invariant, one.message) for one in violations if "paused" in one.message]

    assert found() == []
    world.connection.execute("UPDATE sends SET transmitting_at = now() WHERE status = 'transmitting'")
    broken = [(Invariant.NOTHING_AFTER_A_STOP, "was transmitted while all sending was paused")]
    assert found() == broken
    output("resume-all")
    assert found() == broken


def test_pause_needs_a_reason(world: Any) -> None:
    output("pause-all", status=2)
    output("pause-all", "--reason", "  ", status=2)
    assert world.connection.execute("SELECT count(*) FROM pauses").fetchone() == (0,)
