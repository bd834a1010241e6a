"""Tests of the command line: help, settings, errors, `stack env`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local_stack.env_file import env_file_of, write_env_file
from local_stack.folder import Record, StackFolder
from tests.conftest import Database

SEQUENCES = str(Path(sys.executable).parent / "sequences")


def sequences(*arguments: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SEQUENCES, *arguments],
        cwd=folder,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def make_env_file(folder: Path, **variables: str) -> None:
    file = env_file_of(folder)
    file.parent.mkdir()
    write_env_file(file, variables)


@contextmanager
def supervised(root: Path, *, ready: bool = True) -> Iterator[None]:
    """Hold the lock of the folder's supervisor, as a running stack does."""
    folder = StackFolder(root)
    lock = folder.lock()
    assert lock is not None
    with lock:
        folder.enter_supervisor(lock)
        if ready:
            folder.mark_ready()
        yield


def test_help_names_every_command_without_loading_their_programs(tmp_path: Path) -> None:
    loaded = (
        "import sys, sequence_cli.main; print({'dagster', 'boto3', 'fastapi', 'psycopg'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", loaded], text=True) == "set()\n"
    shown = sequences("--help", folder=tmp_path)
    assert shown.returncode == 0
    for command in ("stack", "migrate", "api", "worker", "sample-data", "day"):
        assert f"  {command} " in shown.stdout


def test_commands_use_the_stack_of_the_folder(tmp_path: Path, empty_database: str) -> None:
    make_env_file(tmp_path, DATABASE_URL=empty_database)
    migrated = sequences("migrate", folder=tmp_path)
    assert migrated.returncode == 0, migrated.stderr


def test_environment_variables_override_the_stacks(tmp_path: Path) -> None:
    make_env_file(tmp_path, DATABASE_URL="postgresql://of-the-stack:x@127.0.0.1:9/x", PLAN_AT="04:00")
    failed = sequences("migrate", folder=tmp_path, PLAN_AT="half past four")
    assert failed.returncode == 2
    assert "PLAN_AT" in failed.stderr


def test_missing_setting_gives_one_line_on_stderr_and_status_2(tmp_path: Path) -> None:
    failed = sequences("worker", folder=tmp_path)
    assert failed.returncode == 2
    assert failed.stdout == ""
    assert "WORKER_DATABASE_URL" in failed.stderr
    assert len(failed.stderr.splitlines()) == 1


def test_unreachable_database_gives_one_line_and_status_2(tmp_path: Path) -> None:
    failed = sequences("migrate", folder=tmp_path, DATABASE_URL="postgresql://a:b@127.0.0.1:9/c")
    assert failed.returncode == 2
    assert "DATABASE_URL" in failed.stderr
    assert len(failed.stderr.splitlines()) == 1


def test_env_without_a_stack_says_how_to_start_one(tmp_path: Path) -> None:
    failed = sequences("stack", "env", folder=tmp_path)
    assert failed.returncode == 1
    assert "sequences stack up" in failed.stderr


def test_env_prints_the_stacks_variables_for_a_shell(tmp_path: Path) -> None:
    odd = '/home/o\'brien/my "stack" in zürich $HOME `id` #1'
    make_env_file(tmp_path, API_URL="http://127.0.0.1:8000", DAGSTER_HOME=odd)
    with supervised(tmp_path):
        shown = sequences("stack", "env", folder=tmp_path)
        assert shown.stdout.startswith("API_URL=http://127.0.0.1:8000\n")
        sourced = 'eval "$1"; printf %s "$DAGSTER_HOME"'
        assert subprocess.check_output(["sh", "-c", sourced, "sh", shown.stdout], text=True) == odd
        document = json.loads(sequences("stack", "env", "--json", folder=tmp_path).stdout)
        assert document == {"API_URL": "http://127.0.0.1:8000", "DAGSTER_HOME": odd}


def test_env_of_a_stack_that_was_stopped_or_is_starting_says_so_and_fails(tmp_path: Path) -> None:
    make_env_file(tmp_path, API_URL="http://127.0.0.1:8000")
    stopped = sequences("stack", "env", folder=tmp_path)
    assert (stopped.returncode, stopped.stdout) == (1, "")
    assert "No stack is running in this folder" in stopped.stderr
    with supervised(tmp_path, ready=False):
        starting = sequences("stack", "env", folder=tmp_path)
    assert (starting.returncode, starting.stdout) == (1, "")
    assert "still starting" in starting.stderr


def test_commands_ignore_the_variables_of_a_stack_that_ended_without_a_stop(tmp_path: Path) -> None:
    """Another stack may have its ports by now."""
    make_env_file(tmp_path, DATABASE_URL="postgresql://a:b@127.0.0.1:9/c")
    folder = StackFolder(tmp_path)
    folder.make()
    folder.record("postgres", Record(pid=1, birth="earlier", order=0, stop_signal=2, stop_seconds=1))
    failed = sequences("migrate", folder=tmp_path)
    assert failed.returncode == 2
    assert "DATABASE_URL: Field required" in failed.stderr


def test_shell_completion_names_the_commands(tmp_path: Path) -> None:
    shown = sequences(
        folder=tmp_path, _SEQUENCES_COMPLETE="complete_bash", COMP_WORDS="sequences st", COMP_CWORD="1"
    )
    assert set(shown.stdout.split()) == {"stack", "stats", "status"}


def test_roles_log_in_with_the_passwords_of_their_urls(database: Database) -> None:
    for role in ("api", "pipeline", "worker", "readonly"):
        with database.connect(role) as connection:  # type: ignore[arg-type]
            assert connection.info.user == f"sequence_{role}"


def test_migrate_reads_the_passwords_from_the_urls() -> None:
    from pydantic import SecretStr

    from sequence_cli.migrate import _passwords

    url = SecretStr("postgresql+psycopg://sequence_api:p%40ss@127.0.0.1/x")
    assert _passwords((url, None)) == {"sequence_api": "p@ss"}


@pytest.mark.parametrize("command", ["up", "down"])
def test_stack_commands_explain_themselves(command: str, tmp_path: Path) -> None:
    assert sequences("stack", command, "--help", folder=tmp_path).returncode == 0
