"""Tests of `sequences explain`: verdicts as JSON lines, and lines that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sequence_cli.main import app

CASES = Path(__file__).parents[1] / "sequence_store" / "smtp_replies.jsonl"


def explain(text: str) -> list[dict[str, object]]:
    result = CliRunner().invoke(app, ["explain", "replies", "-"], input=text, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_each_reply_is_explained_in_a_line_of_its_own() -> None:
    lines = [
        {"stage": "rcpt", "reply": "550 5.1.1 User unknown"},
        {"stage": "dot", "reply": "550 5.7.26 unauthenticated\nsee https://support.example"},
    ]
    gone, policy = explain("\n\n".join(map(json.dumps, lines)))
    assert gone.pop("why")
    assert gone == {"fault": "recipient", "permanent": True, "suppresses": True, "parks": "no"}
    assert policy.pop("why")
    assert policy == {"fault": "mailbox", "permanent": True, "suppresses": False, "parks": "counts"}


def test_file_of_cases_is_explained_without_a_database() -> None:
    result = CliRunner().invoke(app, ["explain", "replies", str(CASES)], catch_exceptions=False)
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == len(CASES.read_text().splitlines())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "-:2 is not JSON"),
        ("[]", "-:2 must be an object"),
        ('{"stage": "rcpt"}', "-:2 must be an object"),
        ('{"stage": "quit", "reply": "550 no"}', '-:2: "stage" must be one of connect, auth, mail'),
        ('{"stage": ["rcpt"], "reply": "550 no"}', '-:2: "stage" must be one of'),
    ],
)
def test_line_that_cannot_be_read_is_named(
    line: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "replies.jsonl"
    file.write_text('{"stage": "rcpt", "reply": "550 no"}\n' + line + "\n")
    with pytest.raises(SystemExit) as ended:
        app(["explain", "replies", str(file)])
    shown = capsys.readouterr()
    assert ended.value.code == 2
    assert said.removeprefix("-") in shown.err
    assert len(shown.out.splitlines()) == 1
