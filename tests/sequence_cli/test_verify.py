"""Tests of `sequences verify`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from sequence_cli.main import app

SENDS = """
INSERT INTO sends (sequence_id, contact_id, step_id, round, mailbox_id, due_day, plan_day, send_day,
    send_at, not_after, status, transmitting_at, finished_at)
SELECT 1, n, 1, 1, 1, d, d, d,
    now() - interval '3 h', now(), 'sent', now() - interval '2 h', now() - interval '2 h'
FROM generate_series(1, %s) n, (SELECT (now() AT TIME ZONE 'UTC' - interval '7 h')::date AS d) day"""


def run(database: Any, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    monkeypatch.setenv("PIPELINE_DATABASE_URL", database.pipeline)
    return CliRunner().invoke(app, ["verify", *arguments])


def test_empty_ledger_holds_every_invariant(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = run(database, monkeypatch)
    assert (answer.exit_code, answer.stdout.strip()) == (0, "0 sends: every invariant holds.")


def test_sends_that_were_never_applied_nor_counted_are_reported_and_give_status_one(
    database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.connect("owner") as connection:
        connection.execute(SENDS, [12])
    answer = run(database, monkeypatch)
    assert answer.exit_code == 1
    assert "12 sends, 13 violations:" in answer.stdout
    assert "I4  mailbox 1 on" in answer.stdout
    assert "I5  has not advanced its enrolment since" in answer.stdout
    assert "… and 2 more" in answer.stdout
    document = json.loads(run(database, monkeypatch, "--json").stdout)
    assert document["violations"] == {"I4": 1, "I5": 12}
    assert {"sequence_id": 1, "contact_id": 3, "step_id": 1, "round": 1} in [
        one["send"] for one in document["examples"]
    ]


def test_only_the_given_days_are_checked(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with database.connect("owner") as connection:
        connection.execute(SENDS, [1])
    assert run(database, monkeypatch, "--day", "2026-01-05").exit_code == 0
    assert run(database, monkeypatch, "--since", "2026-01-05").exit_code == 1
    assert run(database, monkeypatch, "--since", "2026-01-05", "--day", "2026-01-05").exit_code == 2
