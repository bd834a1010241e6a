"""Tests `sequences stats` on a real database."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from sequence_cli.main import app
from sequence_store.feed import drain_feed
from tests.conftest import Database

RUNNER = CliRunner()


@pytest.fixture
def mailed(database: Database, monkeypatch: pytest.MonkeyPatch) -> str:
    """Insert a mail that was replied to; return the id of its sequence."""
    monkeypatch.setenv("READONLY_DATABASE_URL", database.readonly)
    with database.connect(autocommit=True) as connection:
        connection.execute("INSERT INTO sequences (id, sequence_name) VALUES (1, 'Spring')")
        connection.execute(
            "INSERT INTO steps (id, sequence_id, step_number, mail_content) VALUES (1, 1, 1, 'x')"
        )
        connection.execute(
            "INSERT INTO mailboxes (id, address, send_limit, send_start_time, send_end_time)"
            " VALUES (1, 'a@s.example', 5, '09:00', '17:00')"
        )
        connection.execute(
            "INSERT INTO sends (sequence_id, contact_id, step_id, round, mailbox_id, due_day, plan_day,"
            " send_day, send_at, not_after, status)"
            " VALUES (1, 1, 1, 1, 1, '2026-06-15', '2026-06-15', '2026-06-15',"
            " '2026-06-15 10:00Z', '2026-06-15 12:00Z', 'transmitting')"
        )
        connection.execute("UPDATE sends SET status = 'sent', finished_at = send_at")
        connection.execute(
            "INSERT INTO send_events (sequence_id, contact_id, step_id, round, kind)"
            " VALUES (1, 1, 1, 1, 'reply')"
        )
        drain_feed(connection)
        row: Any = connection.execute("SELECT external_id FROM sequences").fetchone()
    return str(row[0])


def run(*arguments: str, status: int = 0) -> str:
    result = RUNNER.invoke(app, ["stats", *arguments])
    assert result.exit_code == status, result.output
    return result.output


@pytest.mark.parametrize("by", ["sequence", "step", "mailbox", "day"])
def test_stats_count_the_mails_of_the_days(mailed: str, by: str) -> None:
    days = ("--from", "2026-06-01", "--to", "2026-06-30")
    document = json.loads(run("--by", by, *days, "--sequence", "Spring", "--json"))
    [row] = document["rows"]
    assert (row["mails"], row["replied"], row["replied_per_mail"]) == (1, 1, 1.0)
    assert "100.0%" in run("--by", by, *days, "--sequence", mailed)
    assert "none" in run("--by", by, "--from", "2026-07-01", "--to", "2026-07-02")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--from", "yesterday"),
        ("--to", "2026-02-30"),
        ("--from", "2026-06-02", "--to", "2026-06-01"),
        ("--sequence", "Autumn"),
        ("--by", "contact"),
    ],
)
def test_invalid_option_is_named(mailed: str, arguments: tuple[str, ...]) -> None:
    result = RUNNER.invoke(app, ["stats", *arguments])
    assert result.exit_code != 0
