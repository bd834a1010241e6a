"""Where the stack keeps everything: `.local/` of the project."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from local_stack.env_file import env_file_of
from local_stack.processes import Identity

MARK = "SEQUENCE_STACK"


@dataclass(frozen=True)
class Record:
    """A pid file: who runs, as which in the order of starts, and how it wants to be stopped."""

    pid: int
    birth: str
    order: int
    stop_signal: int
    stop_seconds: float

    @property
    def identity(self) -> Identity:
        return Identity(self.pid, self.birth)


@dataclass(frozen=True)
class StackFolder:
    """The files of one stack, which lies in `.local/` of the project folder `root`."""

    root: Path

    @property
    def path(self) -> Path:
        return self.root.resolve() / ".local"

    @property
    def mark(self) -> str:
        """Return what the environment of each of the stack's processes carries, as KEY=value."""
        return f"{MARK}={self.path}"

    @property
    def env_file(self) -> Path:
        return env_file_of(self.root)

    @property
    def ports_file(self) -> Path:
        return self.path / "ports.json"

    @property
    def ready_file(self) -> Path:
        return self.path / "ready"

    @property
    def pids(self) -> Path:
        return self.path / "pids"

    def log(self, program: str) -> Path:
        return self.path / "logs" / f"{program}.log"

    def make(self) -> None:
        """Make the folder; others may pass through it (an account that runs Postgres has to) but read nothing."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o711)
        self.pids.mkdir(exist_ok=True)

    def lock(self) -> IO[str] | None:
        """Take the supervisor's place, which the kernel frees however it ends; None where it is taken."""
        self.make()
        file = (self.path / "supervisor.lock").open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        return file

    def enter_supervisor(self, lock: IO[str]) -> None:
        """Write this process's pid into the lock that it holds; what an earlier one said counts no more."""
        self.ready_file.unlink(missing_ok=True)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()

    def supervisor(self) -> int:
        """Return the pid of the lock's holder, 0 while it has not written it."""
        with suppress(FileNotFoundError, ValueError):
            return int((self.path / "supervisor.lock").read_text())
        return 0

    def say_ready(self) -> None:
        self.ready_file.write_text(str(os.getpid()))

    def is_ready(self, supervisor: int | None = None) -> bool:
        """Return whether the supervisor (by its pid; None: the lock's holder) has started everything."""
        with suppress(FileNotFoundError):
            return self.ready_file.read_text() == str(supervisor or self.supervisor())
        return False

    def record(self, program: str, record: Record) -> None:
        (self.pids / f"{program}.json").write_text(json.dumps(asdict(record)))

    def forget(self, program: str) -> None:
        (self.pids / f"{program}.json").unlink(missing_ok=True)

    def records(self) -> dict[str, Record]:
        """Return the pid files by program, in the order in which they are to be stopped."""
        found = {}
        for file in self.pids.glob("*.json"):
            with suppress(ValueError, TypeError):  # half-written when the machine stopped: it names nobody
                found[file.stem] = Record(**json.loads(file.read_text()))
        return dict(sorted(found.items(), key=lambda item: item[1].order, reverse=True))
