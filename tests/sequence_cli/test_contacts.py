"""Tests of `sequences contacts`; the API runs in its own process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from local_stack.ports import LOOPBACK, answers, free_port
from local_stack.processes import end, launch, wait_ready
from sequence_cli.contacts import NO_KEY
from sequence_cli.main import app
from tests.conftest import NOWHERE, Database

FILE = "Who,email\nAda,ada@example.com\nGrace,grace at example.com\n"


@pytest.fixture
def auth() -> str:
    return "off"


@pytest.fixture
def api_url(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, auth: str) -> Iterator[str]:
    port, log = free_port(), tmp_path / "api.log"
    program = [str(Path(sys.executable).parent / "sequences"), "api"]
    environment = {"API_DATABASE_URL": database.api, "API_PORT": str(port), "API_AUTH": auth}
    process = launch(program, log=log, environment=environment)
    try:
        wait_ready(process, lambda: answers(port), log=log, seconds=30)
        monkeypatch.setenv("API_URL", f"http://{LOOPBACK}:{port}")
        yield f"http://{LOOPBACK}:{port}"
    finally:
        end(process)


def test_contacts_are_imported_from_a_file_and_exported_to_one(api_url: str, tmp_path: Path) -> None:
    file, report, back = tmp_path / "in.csv", tmp_path / "report.csv", tmp_path / "out.csv"
    file.write_text(FILE)
    runner = CliRunner()
    arguments = ["contacts", "import", str(file), "--column", "name:Who", "--report", str(report)]
    done = runner.invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert {"2\trowsRead", "1\tadded", "1\trefused"} <= set(done.output.splitlines())
    assert report.read_text().splitlines()[1].startswith('3,refused,"mailAddress: ')
    assert runner.invoke(app, ["contacts", "export", str(back)]).exit_code == 0
    assert '"Ada","ada@example.com","true"' in back.read_text()


def test_opt_outs_of_a_file_are_suppressed_unless_they_are_ignored(api_url: str, tmp_path: Path) -> None:
    file = tmp_path / "in.csv"
    file.write_text("name,email,HASOPTEDOUTOFEMAIL\n#N/A,ada@example.com,1\n")
    runner = CliRunner()
    ignored = runner.invoke(app, ["contacts", "import", str(file), "--opt-outs", "ignore"])
    assert {"0\toptedOut", "1\tmissingNames"} <= set(ignored.output.splitlines())
    done = runner.invoke(app, ["contacts", "import", str(file)])
    assert {"1\toptedOut", "HASOPTEDOUTOFEMAIL\toptOutColumns"} <= set(done.output.splitlines())


def test_rejected_file_gives_status_1_and_unreachable_api_status_2(api_url: str, tmp_path: Path) -> None:
    file = tmp_path / "in.csv"
    file.write_text("Who,Where\nAda,London\n")
    runner = CliRunner()
    refused = runner.invoke(app, ["contacts", "import", str(file)])
    assert (refused.exit_code, refused.output) == (
        1,
        "body: no column matches mailAddress. Select one with column=mailAddress:<column name>.\n",
    )
    unreachable = runner.invoke(app, ["contacts", "export", str(file), "--url", NOWHERE])
    assert (unreachable.exit_code, unreachable.output) == (
        2,
        f"The API at {NOWHERE} does not respond (ConnectError). Check --url or API_URL.\n",
    )


@pytest.mark.parametrize("auth", ["on"])
def test_key_comes_from_setting_or_option_and_is_required(
    api_url: str, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database.owner)
    file, back = tmp_path / "in.csv", tmp_path / "out.csv"
    file.write_text("name,mailAddress\nAda,ada@example.com\n")
    back.write_text("kept")
    runner = CliRunner()
    for command in (["import", str(file)], ["export", str(back)]):
        refused = runner.invoke(app, ["contacts", *command])
        assert refused.exit_code == 1
        assert refused.output == f"Authorization: an API key is required, as `Bearer <key>`\n{NO_KEY}\n"
    assert back.read_text() == "kept"
    key = runner.invoke(app, ["keys", "create", "a test"]).stdout.strip()
    assert runner.invoke(app, ["contacts", "import", str(file), "--key", key]).exit_code == 0
    monkeypatch.setenv("API_KEY", key)
    assert runner.invoke(app, ["contacts", "export", str(back)]).exit_code == 0
    assert "ada@example.com" in back.read_text()
