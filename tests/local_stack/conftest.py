"""Fixtures: a stack of a few quick programs in separate processes, and a Dagster instance on Postgres."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from dagster import DagsterInstance

from local_stack.folder import StackFolder
from local_stack.postgres import OWNER, Postgres
from local_stack.processes import marked, wait_until

SCRIPT = Path(__file__).parent / "few_programs.py"
ROOT = Path(__file__).parents[2]


@dataclass
class Stack:
    """Commands on one stack; `fault` selects how its second program fails."""

    root: Path
    fault: str = ""
    _supervisors: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def folder(self) -> StackFolder:
        return StackFolder(self.root)

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command until it ends; `stdout` has its whole output."""
        return subprocess.run(
            self.command(command),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )

    def up(self) -> subprocess.Popen[str]:
        """Start the supervisor in the foreground and wait until it is ready."""
        output = (self.root / "output").open("a")
        with output:
            process = subprocess.Popen(self.command("up"), stdout=output, stderr=output, text=True)
        self._supervisors.append(process)
        assert wait_until(lambda: self.folder.is_ready(process.pid), 30), self.output()
        return process

    def output(self) -> str:
        return (self.root / "output").read_text()

    def pid(self, program: str) -> int:
        record = self.folder.records().get(program)
        return record.pid if record and record.identity.runs() else 0

    def processes(self) -> list[int]:
        """Return the pids of all processes of this stack."""
        return list(marked(self.folder.mark))

    def close(self) -> None:
        self.run("down")
        for process in self._supervisors:
            process.wait(30)
        assert not self.processes()

    def command(self, command: str) -> list[str]:
        return [sys.executable, str(SCRIPT), command, str(self.root), self.fault]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    running = Stack(tmp_path)
    yield running
    running.fault = ""
    running.close()


def kill(pid: int) -> None:
    assert pid, "the program does not run"
    os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def dagster_instance(
    postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DagsterInstance]:
    """Open an instance with deploy/dagster.yaml, on Postgres; it takes seconds to make its tables."""
    home = tmp_path_factory.mktemp("dagster")
    (home / "dagster.yaml").symlink_to(ROOT / "deploy" / "dagster.yaml")
    postgres.create_database("dagster_instance")
    url = postgres.url(OWNER, "dagster_instance").replace("postgresql:", "postgresql+psycopg2:")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_DATABASE_URL", url)
        with DagsterInstance.from_config(str(home)) as opened:
            yield opened


@pytest.fixture
def instance(dagster_instance: DagsterInstance) -> DagsterInstance:
    """Return the instance without the runs and ticks of earlier tests."""
    dagster_instance.wipe()
    dagster_instance.wipe_all_schedules()
    return dagster_instance
