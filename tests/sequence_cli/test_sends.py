"""Tests of `sequences sends`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from typer.testing import CliRunner

from sequence_cli.main import app
from sequence_store.postgres.queries import query


@pytest.fixture
def unknown(database: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """One send of contact 7 whose outcome is unknown."""
    monkeypatch.setenv("DATABASE_URL", database.owner)
    with database.connect("owner") as connection:
        connection.execute("INSERT INTO sequences (id, sequence_name) VALUES (1, 's')")
        connection.execute(
            "INSERT INTO steps (id, sequence_id, step_number, mail_content) VALUES (3, 1, 1, 'Hi')"
        )
        connection.execute(
            "INSERT INTO sends "
            "(sequence_id, contact_id, step_id, round, mailbox_id, due_day, plan_day, send_day, "
            "send_at, not_after, status) "
            "VALUES (1, 7, 3, 1, 1, current_date, current_date, current_date, now(), now(), 'unknown')"
        )
    return database


@pytest.mark.parametrize(("resolution", "row"), [("sent", ("sent", 1)), ("retry", ("planned", 2))])
def test_an_unknown_send_is_listed_and_resolved_once(
    unknown: Any, resolution: str, row: tuple[str, int]
) -> None:
    runner = CliRunner()
    assert "7\t3\t1\t" in runner.invoke(app, ["sends", "list"]).output
    arguments = ["sends", "resolve", "7", "3", "1", "--as", resolution]
    assert runner.invoke(app, arguments).exit_code == 0
    assert runner.invoke(app, arguments).exit_code == 1
    with unknown.connect("owner") as connection:
        assert connection.execute("SELECT status, attempt FROM sends").fetchone() == row
        kinds = [
            kind for (kind,) in connection.execute("SELECT kind FROM send_events ORDER BY id").fetchall()
        ]
        assert kinds == (["sent", "resolved"] if resolution == "sent" else ["resolved"])


def test_two_people_who_settle_the_same_unknown_send_at_once_settle_it_once(unknown: Any) -> None:
    def resolve(how: str) -> bool:
        with unknown.connect("owner") as connection:
            parameters = {"contact_id": 7, "step_id": 3, "round": 1, "as": how}
            return bool(connection.execute(query("sends", "resolve_send"), parameters).fetchall()[0][0])

    with ThreadPoolExecutor(8) as people:
        resolved = list(people.map(resolve, ["retry", "sent"] * 8))
    assert resolved.count(True) == 1
    with unknown.connect("owner") as connection:
        assert connection.execute("SELECT count(*) FROM send_events WHERE kind = 'resolved'").fetchone() == (
            1,
        )


def test_sequence_is_named_by_its_name_or_id_and_two_of_one_name_are_listed(
    database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database.owner)
    with database.connect("owner") as connection:
        ids = [
            str(row[0])
            for row in connection.execute(
                "INSERT INTO sequences (sequence_name) VALUES ('twin'), ('twin'), ('single')"
                " RETURNING external_id"
            ).fetchall()
        ]
    runner = CliRunner()

    def listed(name: str) -> Any:
        return runner.invoke(app, ["sends", "list", "--sequence", name])

    twins = listed("twin")
    assert twins.exit_code == 2
    assert all(one in twins.output for one in ids[:2])
    assert ids[2] not in twins.output
    assert "2 sequences have the name" in twins.output
    for name in ("single", ids[0], ids[1].upper()):
        assert listed(name).exit_code == 0
    unknown = listed("nothing")
    assert (unknown.exit_code, "no sequence has the name or the id" in unknown.output) == (2, True)
    with database.connect("owner") as connection:
        connection.execute("UPDATE sequences SET deleted_at = now() WHERE external_id = %s", (ids[0],))
    assert listed("twin").exit_code == 0
