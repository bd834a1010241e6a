"""Tests of `sequences replies` and `sequences optouts`: answers are listed, settled and undone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from sequence_cli.main import app
from sequence_store.settings import OwnerSettings
from tests.conftest import Database

WRITTEN = "ADA@b\u00fccher.example"  # the contact's address in another spelling


@pytest.fixture
def team(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Enter a contact that replied in one of two sequences."""
    monkeypatch.setenv("DATABASE_URL", database.owner)
    with database.connect(autocommit=True) as connection:
        connection.execute(
            "INSERT INTO contacts (name, mail_address, replied_at, reply_stopped_at)"
            " VALUES ('Ada', 'ada@xn--bcher-kva.example', now(), now())"
        )
        for name in ("welcome", "news"):
            connection.execute(
                "WITH s AS (INSERT INTO sequences (sequence_name) VALUES (%s) RETURNING id), t AS ("
                " INSERT INTO steps (sequence_id, step_number, mail_content) SELECT id, 1, 'x' FROM s)"
                " INSERT INTO sequences_contacts (sequence_id, contact_id, status, status_reason)"
                " SELECT s.id, c.id, 'replied', 'reply' FROM s, contacts c",
                (name,),
            )
    return database


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def one(database: Database, statement: str) -> Any:
    with database.connect() as connection:
        return connection.execute(statement).fetchall()


def test_opt_out_waits_for_a_person_who_confirms_it(team: Database) -> None:
    assert run("optouts", "confirm", WRITTEN).exit_code == 1
    with team.connect(autocommit=True) as connection:
        connection.execute("UPDATE contacts SET stopped_at = now(), stopped_reason = 'opt_out_unverified'")
    listed = json.loads(run("optouts", "list", "--json").stdout)["optOuts"]
    assert [row["reason"] for row in listed] == ["opt_out_unverified"]
    confirmed = run("optouts", "confirm", WRITTEN)
    assert confirmed.exit_code == 0, confirmed.output
    assert json.loads(run("optouts", "list", "--json").stdout) == {"optOuts": []}
    assert one(team, "SELECT reason FROM suppressions") == [("unsubscribed",)]
    pads = OwnerSettings(database_url=team.owner).address_pads
    with team.connect() as connection:
        [(known,)] = connection.execute(
            "SELECT address_hmac = address_hmac('ada@xn--bcher-kva.example', %s) FROM suppressions", (pads,)
        ).fetchall()
    assert known
    undone = run("replies", "undo", WRITTEN)
    assert (undone.exit_code, undone.stdout.splitlines()) == (1, ["news: suppressed", "welcome: suppressed"])


def test_opt_out_that_is_lifted_lets_mails_go_again(team: Database) -> None:
    with team.connect(autocommit=True) as connection:
        connection.execute("UPDATE contacts SET stopped_at = now(), stopped_reason = 'opt_out_unverified'")
    assert "gets mails again" in run("optouts", "lift", WRITTEN).stdout
    assert one(team, "SELECT stopped_at FROM contacts") == [(None,)]
    assert one(team, "SELECT count(*) FROM suppressions") == [(0,)]
    assert one(team, "SELECT kind FROM send_events") == [("opt_out_lifted",)]


def test_stop_by_a_reply_is_undone_for_one_sequence_or_all(team: Database) -> None:
    assert len(json.loads(run("replies", "list", "--json").stdout)["replies"]) == 2
    undone = run("replies", "undo", WRITTEN, "--sequence", "news")
    assert (undone.exit_code, undone.stdout) == (0, "news: resumed\n")
    statuses = "SELECT q.sequence_name, e.status, e.round FROM sequences_contacts e JOIN sequences q"
    assert sorted(one(team, f"{statuses} ON q.id = e.sequence_id")) == [
        ("news", "active", 2),
        ("welcome", "replied", 1),
    ]
    assert run("replies", "undo", WRITTEN).stdout == "welcome: resumed\n"
    assert run("replies", "undo", WRITTEN).exit_code == 1
    assert run("replies", "undo", WRITTEN, "--sequence", "none").exit_code == 2
