"""Manages the stack's folder `.local/`: lock, ports, pid files and logs."""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from local_stack.env_file import env_file_of, local_folder
from local_stack.processes import Identity, belongs_to

MARK = "SEQUENCE_STACK"
# A process that only asks whether the lock is held has it for an instant.
_LOCK_TRIES = 3
_LOCK_PAUSE = 0.02


@dataclass(frozen=True)
class Record:
    """Content of a pid file: the process, its position in the start order, and how to stop it.

    `birth` tells the process apart from a later one with the same pid (see `processes.Identity`).
    """

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
    """The files of the stack in `.local/` of the project folder `root`."""

    root: Path

    @property
    def path(self) -> Path:
        return local_folder(self.root)

    @property
    def mark(self) -> str:
        """Return the KEY=value entry that the environment of every process of the stack contains."""
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
        """Create the folder. Other accounts, such as Postgres's, may traverse it but not list it."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o711)
        self.pids.mkdir(exist_ok=True)

    @property
    def lock_file(self) -> Path:
        return self.path / "supervisor.lock"

    def lock(self) -> IO[str] | None:
        """Take the supervisor's lock; return None if another process holds it.

        The kernel releases the lock when its holder ends.
        """
        self.make()
        file = self.lock_file.open("a+")
        for _ in range(_LOCK_TRIES):
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return file
            time.sleep(_LOCK_PAUSE)
        file.close()
        return None

    def is_supervised(self) -> bool:
        """Return whether a supervisor holds the lock. This takes a shared lock for a moment: see `lock`."""
        try:
            with self.lock_file.open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def runs(self) -> bool:
        """Return whether a supervisor or a program that a killed supervisor left is running."""
        return self.is_supervised() or any(self.is_own(record) for record in self.records().values())

    def is_own(self, record: Record) -> bool:
        """Return whether the recorded process runs and is of this stack, not of one that was copied here."""
        return record.identity.runs() and belongs_to(record.pid, MARK, str(self.path))

    def is_stale(self) -> bool:
        """Return whether `stack.env` is of programs that ended without a stop, or of a copied folder.

        Other servers may have its ports by now.
        """
        return bool(self.records()) and not self.runs()

    def enter_supervisor(self, lock: IO[str]) -> None:
        """Write this process's pid into its lock file and remove the previous supervisor's ready mark."""
        self.ready_file.unlink(missing_ok=True)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()

    def supervisor(self) -> int:
        """Return the pid of the lock's holder, or 0 if it has not written its pid yet."""
        with suppress(FileNotFoundError, ValueError):
            return int(self.lock_file.read_text())
        return 0

    def mark_ready(self) -> None:
        self.ready_file.write_text(str(os.getpid()))

    def is_ready(self, supervisor: int | None = None) -> bool:
        """Return whether the supervisor with this pid (default: the lock's holder) started all programs."""
        with suppress(FileNotFoundError):
            return self.ready_file.read_text() == str(supervisor or self.supervisor())
        return False

    def record(self, program: str, record: Record) -> None:
        (self.pids / f"{program}.json").write_text(json.dumps(asdict(record)))

    def forget(self, program: str) -> None:
        (self.pids / f"{program}.json").unlink(missing_ok=True)

    def records(self) -> dict[str, Record]:
        """Return the pid files by program, in stop order."""
        found = {}
        for file in self.pids.glob("*.json"):
            with suppress(ValueError, TypeError):  # the machine stopped during the write
                found[file.stem] = Record(**json.loads(file.read_text()))
        return dict(sorted(found.items(), key=lambda item: item[1].order, reverse=True))
