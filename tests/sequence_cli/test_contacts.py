"""`sequences contacts`, with the API as a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from local_stack.ports import LOOPBACK, answers, free_port
from local_stack.processes import end, launch, wait_ready
from sequence_cli.main import app
from tests.conftest import NOWHERE

FILE = "Who,email\nAda,ada@example.com\nGrace,grace at example.com\n"


@pytest.fixture
def api_url(database: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    port, log = free_port(), tmp_path / "api.log"
    program = [str(Path(sys.executable).parent / "sequences"), "api"]
    environment = {"API_DATABASE_URL": database.api, "API_PORT": str(port)}
    process = launch(program, log=log, environment=environment)
    try:
        wait_ready(process, lambda: answers(port), log=log, seconds=30)
        monkeypatch.setenv("API_URL", f"http://{LOOPBACK}:{port}")
        yield f"http://{LOOPBACK}:{port}"
    finally:
        end(process)


def test_contacts_go_in_from_a_file_and_come_out_into_one(api_url: str, tmp_path: Path) -> None:
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


def test_refused_file_and_silent_api_end_with_status_1_and_the_reason(api_url: str, tmp_path: Path) -> None:
    file = tmp_path / "in.csv"
    file.write_text(FILE)
    runner = CliRunner()
    refused = runner.invoke(app, ["contacts", "import", str(file)])
    assert (refused.exit_code, refused.output) == (
        1,
        "body: no column is name; say which one with column=name:…\n",
    )
    silent = runner.invoke(app, ["contacts", "export", str(file), "--url", NOWHERE])
    assert (silent.exit_code, silent.output) == (1, f"The API at {NOWHERE} does not answer: ConnectError.\n")
