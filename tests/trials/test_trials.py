"""Tests that trials are listed and run by name, and that a missing server gives its package and status 2."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trials.__main__ import main
from tests.trials.registry import ROOT, TRIALS, Requirement, Trial

ABSENT = Requirement("no-such-server", "no-such-package")


def trial(code: str, *requirements: Requirement) -> dict[str, Trial]:
    return {"short": Trial("a short trial", 1, (sys.executable, "-c", code), requirements)}


def test_without_a_name_every_trial_is_listed_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(TRIALS)
    assert max(map(len, lines)) <= 165


def test_named_trial_gets_further_arguments_and_its_status_is_returned(tmp_path: Path) -> None:
    record = tmp_path / "arguments"
    code = f"import sys; open({str(record)!r}, 'w').write(' '.join(sys.argv[1:])); sys.exit(7)"
    assert main(["short", "--seed", "2"], trial(code)) == 7
    assert record.read_text() == "--seed 2"


def test_missing_server_names_its_debian_package_and_exits_with_2(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["short"], trial("print('ran')", ABSENT)) == 2
    output = capfd.readouterr()
    assert "no-such-server is not installed" in output.err
    assert "apt-get install no-such-package" in output.err
    assert "ran" not in output.out


def test_server_that_does_not_respond_counts_as_missing(capfd: pytest.CaptureFixture[str]) -> None:
    silent = Requirement("sh", "dash", probe=("sh", "-c", "exit 1"))
    assert main(["short"], trial("print('ran')", silent)) == 2
    assert "apt-get install dash" in capfd.readouterr().err


def test_unknown_name_lists_the_trials_and_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no-such-trial"]) == 2
    assert "soak" in capsys.readouterr().err


@pytest.mark.parametrize("name", TRIALS)
def test_command_of_every_trial_exists(name: str) -> None:
    program, *arguments = TRIALS[name].command
    assert shutil.which(program, path=None) or (ROOT / program).is_file()
    if arguments[:1] == ["-m"] and arguments[1] != "pytest":
        assert (ROOT / arguments[1].replace(".", "/") / "__main__.py").is_file()
    for argument in arguments:
        if argument.startswith("tests/"):
            assert (ROOT / argument).exists()


def test_make_trial_passes_name_and_arguments_on() -> None:
    ran = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "trial", "NAME=soak", "ARGS=--seed 2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.search(r"-m tests\.trials soak --seed 2$", ran.stdout, re.MULTILINE)
