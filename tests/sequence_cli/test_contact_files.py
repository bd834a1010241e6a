"""Tests of the options, questions and exit statuses of the commands that import files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import Result
from typer.testing import CliRunner

from sequence_cli import contacts
from sequence_cli.main import app
from tests.conftest import Database
from tests.crud_api.conftest import STEP
from tests.sequence_cli.test_contacts import api_url, auth

__all__ = ["api_url", "auth"]  # fixtures


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), input=stdin)


def enrolled(database: Database) -> int:
    with database.connect() as connection:
        [(number,)] = connection.execute("SELECT count(*) FROM sequences_contacts").fetchall()
        return int(number)


@pytest.fixture
def sequence(api_url: str) -> dict[str, Any]:
    body = {"name": "Spring", "steps": [STEP]}
    shown: dict[str, Any] = httpx.post(f"{api_url}/sequences", json=body).json()
    return shown


def test_every_option_of_the_api_is_one_of_the_command(api_url: str, tmp_path: Path) -> None:
    file = tmp_path / "in.csv"
    file.write_bytes("Name|Mail|Город\nЯ|a@example.com|Москва\nB|info@example.com|X\n".encode("cp1251"))
    options = ["--encoding", "cp1251", "--delimiter", "pipe", "--other-columns", "attributes"]
    done = run("contacts", "import", str(file), *options, "--role-addresses", "refuse", "--json")
    assert done.exit_code == 0, done.output
    shown = json.loads(done.stdout)
    assert (shown["added"], shown["refused"], shown["encoding"]) == (1, 1, "windows-1251")
    [contact] = httpx.get(f"{api_url}/contacts").json()
    assert (contact["name"], contact["attributes"]) == ("Я", {"Город": "Москва"})


def test_options_of_the_command_are_those_of_the_api() -> None:
    from crud_api.imports.schemas import ContactFileQuery

    shown = run("contacts", "import", "--help").output
    flags = {"sequence_id": "--sequence", "dry_run": "--dry-run"}
    for name in ContactFileQuery.model_fields:
        assert flags.get(name, f"--{name.replace('_', '-')}") in shown


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("email\nno address\nnone either\n", "every row was refused"),
        ("email\n", "it has no rows"),
    ],
)
def test_status_is_1_if_nothing_went_in(api_url: str, tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "in.csv"
    file.write_text(text)
    for command in ("contacts", "suppressions"):
        done = run(command, "import", str(file))
        assert done.exit_code == 1
        assert f"Nothing was imported: {why}." in done.output


def test_known_contacts_are_no_failure(api_url: str, tmp_path: Path) -> None:
    file = tmp_path / "in.csv"
    file.write_text("email\nada@example.com\n")
    assert [run("contacts", "import", str(file)).exit_code for _ in range(2)] == [0, 0]


def test_dry_run_shows_columns_and_rows_and_changes_nothing(api_url: str, tmp_path: Path) -> None:
    file = tmp_path / "in.csv"
    file.write_text("Vorname;Nachname;E-Mail;Ort\nAda;Lovelace;ada@example.com;London\n")
    done = run("contacts", "import", str(file), "--dry-run")
    assert done.exit_code == 0, done.output
    lines = set(done.output.splitlines())
    assert {"Vorname\tfirstName", "Ort\tignored  (--column 'attributes.Ort:Ort')", "1\tadded"} <= lines
    assert "2\tAda Lovelace\tada@example.com" in done.output
    assert httpx.get(f"{api_url}/contacts").json() == []
    file.write_text("Vorname;Kontakt\nAda;ada@example.com\n")
    refused = run("contacts", "import", str(file), "--dry-run")
    assert (refused.exit_code, "--column 'mailAddress:Kontakt'" in refused.output) == (1, True)


def test_sequence_is_named_by_name_or_id(
    api_url: str,
    sequence: dict[str, Any],
    database: Database,
    tmp_path: Path,
) -> None:
    file = tmp_path / "in.csv"
    file.write_text("email\nada@example.com\n")
    assert run("contacts", "import", str(file), "--sequence", "Spring").exit_code == 0
    assert enrolled(database) == 1
    file.write_text("email\neve@example.com\n")
    assert run("contacts", "import", str(file), "--sequence", sequence["id"]).exit_code == 0
    assert enrolled(database) == 2
    unknown = run("contacts", "import", str(file), "--sequence", "Autumn")
    assert (unknown.exit_code, "no sequence has the name or the id 'Autumn'" in unknown.output) == (2, True)
    httpx.post(f"{api_url}/sequences", json={"name": "Spring", "steps": [STEP]})
    twice = run("contacts", "import", str(file), "--sequence", "Spring")
    assert (twice.exit_code, "2 sequences have the name 'Spring'" in twice.output) == (2, True)


def test_question_precedes_the_enrolment_of_more_than_a_thousand(
    sequence: dict[str, Any], database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "in.csv"
    file.write_text("email\n" + "".join(f"n{n}@example.com\n" for n in range(1_001)))
    command = ("contacts", "import", str(file), "--sequence", "Spring")
    unanswered = run(*command)
    assert unanswered.exit_code == 1
    assert "Enrol 1,001 contacts in the sequence Spring?" in unanswered.output
    assert "--yes" in unanswered.output
    monkeypatch.setattr(contacts, "can_answer", lambda: True)
    assert run(*command, stdin="n\n").exit_code == 1
    assert enrolled(database) == 0
    assert run(*command, stdin="y\n").exit_code == 0
    assert enrolled(database) == 1_001
    file.write_text("email\n" + "".join(f"m{n}@example.com\n" for n in range(1_001)))
    monkeypatch.setattr(contacts, "can_answer", lambda: False)
    assert run(*command, "--yes").exit_code == 0
    assert enrolled(database) == 2_002


def test_suppressions_are_imported_and_listed(
    api_url: str, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database.owner)
    file, report = tmp_path / "in.csv", tmp_path / "report.csv"
    file.write_text("E-Mail;Reason\nada@example.com;complaint\nno address;\n")
    dry = run("suppressions", "import", str(file), "--dry-run")
    assert (dry.exit_code, "1\tadded" in dry.output) == (0, True)
    done = run("suppressions", "import", str(file), "--report", str(report))
    assert done.exit_code == 0, done.output
    assert {"1\tadded", "1\trefused"} <= set(done.output.splitlines())
    assert report.read_text().splitlines()[1].startswith("3,refused,")
    listed = run("suppressions", "list")
    assert [line.split("\t")[1] for line in listed.output.splitlines()] == ["reason", "complaint"]
    assert "complaint" in run("suppressions", "list", "--address", "ADA@example.com").output
    assert "complaint" not in run("suppressions", "list", "--address", "b@example.com").output


def test_export_of_active_contacts_only(api_url: str, tmp_path: Path) -> None:
    file, back = tmp_path / "in.csv", tmp_path / "out.csv"
    file.write_text("email,active\nada@example.com,yes\neve@example.com,no\n")
    assert run("contacts", "import", str(file)).exit_code == 0
    assert run("contacts", "export", str(back), "--active").exit_code == 0
    assert ("ada@" in back.read_text(), "eve@" in back.read_text()) == (True, False)
