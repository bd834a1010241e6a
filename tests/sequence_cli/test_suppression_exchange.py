"""Tests of `sequences suppressions`: two deployments with one ADDRESS_KEY share what must not be mailed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sequence_cli.main import app
from sequence_store.settings import OwnerSettings


@pytest.fixture
def deployment(database: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("DATABASE_URL", database.owner)
    monkeypatch.setenv("ADDRESS_KEY", "shared")
    return database


def run(*arguments: str, stdin: str | None = None) -> Any:
    return CliRunner().invoke(app, ["suppressions", *arguments], input=stdin)


def suppress(database: Any, **reasons: str) -> None:
    pads = OwnerSettings(database_url=database.owner, address_key="shared").address_pads
    with database.connect() as connection:
        for name, reason in reasons.items():
            connection.execute(
                "INSERT INTO suppressions (address_hmac, reason) VALUES (address_hmac(%s, %s), %s)",
                (f"{name}@example.com", pads, reason),
            )


def rows(database: Any) -> list[Any]:
    with database.connect() as connection:
        return connection.execute("SELECT address_hmac, reason, at FROM suppressions ORDER BY 1").fetchall()


def test_suppressions_of_one_deployment_stop_the_contacts_of_the_other(
    deployment: Any, tmp_path: Path
) -> None:
    suppress(deployment, ann="unsubscribed", bob="hard_bounce")
    before = rows(deployment)
    file = tmp_path / "suppressions.csv"
    exported = run("export", "--hashed", str(file))
    assert (exported.exit_code, "2 suppressions were written." in exported.output) == (0, True)
    assert "example.com" not in file.read_text()
    with deployment.connect() as connection:  # the other deployment knows nobody yet
        connection.execute("DELETE FROM suppressions")
        sequence, _ = connection.execute(
            "WITH s AS (INSERT INTO sequences (sequence_name) VALUES ('welcome') RETURNING id) "
            "INSERT INTO steps (sequence_id, step_number, mail_content) SELECT id, 1, 'x' FROM s "
            "RETURNING sequence_id, id"
        ).fetchone()
        contacts = [
            connection.execute(
                "INSERT INTO contacts (name, mail_address) VALUES ('A', %s) RETURNING id", [address]
            ).fetchone()[0]
            for address in ("Ann@Example.com", "cleo@example.com")
        ]
        for contact in contacts:
            connection.execute(
                "INSERT INTO sequences_contacts (sequence_id, contact_id, next_send) VALUES (%s, %s, now())",
                (sequence, contact),
            )
    for added in (2, 0):
        imported = run("import", "--hashed", str(file))
        assert imported.exit_code == 0, imported.output
        assert imported.output.startswith(f"{added} of 2 suppressions are new")
        assert rows(deployment) == before
    with deployment.connect() as connection:
        found = dict(connection.execute("SELECT contact_id, status FROM sequences_contacts").fetchall())
    assert found == {contacts[0]: "removed", contacts[1]: "active"}


def test_request_of_a_contact_replaces_a_bounce_and_never_the_other_way_round(deployment: Any) -> None:
    suppress(deployment, ann="unsubscribed")
    text = run("export", "--hashed").stdout
    with deployment.connect() as connection:
        connection.execute("UPDATE suppressions SET reason = 'hard_bounce'")
    assert run("import", "--hashed", "-", stdin=text).exit_code == 0
    assert [row[1] for row in rows(deployment)] == ["unsubscribed"]
    assert run("import", "--hashed", "-", stdin=text.replace("unsubscribed", "hard_bounce")).exit_code == 0
    assert [row[1] for row in rows(deployment)] == ["unsubscribed"]


def test_file_of_another_key_or_a_broken_file_changes_nothing(
    deployment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    suppress(deployment, ann="unsubscribed")
    text = run("export", "--hashed").stdout
    with deployment.connect() as connection:
        connection.execute("DELETE FROM suppressions")
    broken = [text + "0123,unsubscribed,2026-01-01T00:00:00+00:00\n", text + "a,b\n", "a,b\n", ""]
    for one in broken:
        refused = run("import", "--hashed", "-", stdin=one)
        assert (refused.exit_code, rows(deployment)) == (2, [])
    assert "line 4 is not" in run("import", "--hashed", "-", stdin=broken[0]).output.replace("\n", " ")
    monkeypatch.setenv("ADDRESS_KEY", "another")
    refused = run("import", "--hashed", "-", stdin=text)
    assert (refused.exit_code, "ADDRESS_KEY" in refused.output, rows(deployment)) == (2, True, [])


@pytest.mark.parametrize("command", [["export"], ["import", "-"]])
def test_without_hashed_the_command_says_that_no_address_is_stored(
    deployment: Any, command: list[str]
) -> None:
    refused = run(*command, stdin="")
    assert (refused.exit_code, "--hashed" in refused.output) == (2, True)
    assert run("import", "--hashed", "missing.csv").exit_code == 2


def test_end_of_a_suppression_is_shared_and_an_ended_one_is_not(deployment: Any) -> None:
    suppress(deployment, ann="refused", bob="refused")
    with deployment.connect() as connection:
        connection.execute("UPDATE suppressions SET until = now() + interval '9 days' * (2 * (id % 2) - 1)")
        kept = connection.execute(
            "SELECT address_hmac, until FROM suppressions WHERE until > now()"
        ).fetchall()
    text = run("export", "--hashed").stdout
    with deployment.connect() as connection:
        connection.execute("DELETE FROM suppressions")
    imported = run("import", "--hashed", "-", stdin=text)
    assert imported.output.startswith("1 of 1 suppressions are new")
    with deployment.connect() as connection:
        assert connection.execute("SELECT address_hmac, until FROM suppressions").fetchall() == kept
        connection.execute("UPDATE suppressions SET until = now() - interval '1 second'")
    assert run("import", "--hashed", "-", stdin=text).output.startswith("1 of 1 suppressions are new")
