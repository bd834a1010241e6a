"""Tests of `sequences suppressions`: finding suppressions made by mistake, and lifting them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from sequence_cli.main import app
from tests.conftest import Database


@pytest.fixture
def run(database: Database, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("DATABASE_URL", database.owner)
    with database.connect(autocommit=True) as connection:
        for n, (reason, age) in enumerate(
            [("hard_bounce", 1), ("hard_bounce", 2), ("hard_bounce", 40), ("refused", 1), ("unsubscribed", 1)]
        ):
            connection.execute(
                "INSERT INTO suppressions (address_hmac, reason, at)"
                " VALUES (%s, %s, '2026-06-30'::date - %s)",
                (bytes([n]) * 32, reason, age),
            )

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["suppressions", *arguments])

    return invoke


def listed(run: Any, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("list", "--json", *arguments).stdout)["suppressions"]
    return found


def test_suppressions_are_found_by_reason_and_time(run: Any) -> None:
    assert len(listed(run)) == 5
    found = listed(run, "--reason", "hard_bounce", "--since", "2026-06-01")
    assert [row["at"][:10] for row in found] == ["2026-06-29", "2026-06-28"]
    lines = run("list", "--reason", "refused").stdout.splitlines()
    assert lines[0] == "id\treason\tat\tuntil"
    assert len(lines) == 2


def test_mistakes_are_lifted_in_bulk_and_it_is_recorded_who_did_it_and_why(
    run: Any, database: Database
) -> None:
    chosen = (
        "--reason",
        "hard_bounce",
        "--since",
        "2026-06-01",
        "--why",
        "a rule was wrong",
        "--by",
        "Grace",
    )
    assert run("lift", *chosen, "--dry-run").stdout == "2 suppressions would be lifted.\n"
    assert len(listed(run)) == 5
    with database.connect(autocommit=True) as connection:
        connection.execute(
            "INSERT INTO refusals (address_hmac, kind, days) SELECT address_hmac, 'address', '{2026-06-01}'"
            " FROM suppressions"
        )
    assert run("lift", *chosen).stdout == "2 suppressions lifted.\n"
    assert sorted(row["reason"] for row in listed(run)) == ["hard_bounce", "refused", "unsubscribed"]
    with database.connect() as connection:
        events = connection.execute(
            "SELECT detail->>'by', detail->>'reason', detail->>'was' FROM send_events"
            " WHERE kind = 'suppression_lifted'"
        ).fetchall()
        [(counted,)] = connection.execute("SELECT count(*) FROM refusals").fetchall()
    assert events == [("Grace", "a rule was wrong", "hard_bounce")] * 2
    assert counted == 3, "a lifted address begins with no refusals"
    assert run("lift", *chosen).exit_code == 1


def test_what_people_asked_for_is_lifted_by_id_only(run: Any) -> None:
    refused = run("lift", "--reason", "unsubscribed", "--why", "oops")
    assert refused.exit_code == 2
    assert "name the ids" in refused.output
    (row,) = listed(run, "--reason", "unsubscribed")
    assert run("lift", row["id"], "--why", "asked by phone").stdout == "1 suppression lifted.\n"


@pytest.mark.parametrize(
    "arguments", [("--why", "x"), ("--reason", "hard_bounce"), ("--reason", "hard_bounce", "--why", " ")]
)
def test_lifting_needs_a_choice_and_a_reason(run: Any, arguments: tuple[str, ...]) -> None:
    assert run("lift", *arguments).exit_code == 2
    assert len(listed(run)) == 5
