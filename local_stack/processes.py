"""Starts, identifies and ends processes; their output goes to log files."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from local_stack.errors import StartError

POLL_SECONDS = 0.03
MAX_LOG_BYTES = 10_000_000
_PROC = Path("/proc")
# Indices of fields of /proc/PID/stat in a list that begins with field 4.
_SESSION = 6 - 4
_START_TIME = 22 - 4


@dataclass(frozen=True)
class Identity:
    """Identifies a process by its pid and start time, since pids are reused."""

    pid: int
    birth: str

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """Return the identity of a running process, or None; a zombie does not count as running."""
        birth = _birth(pid)
        return cls(pid, birth) if birth else None

    def runs(self) -> bool:
        return _birth(self.pid) == self.birth


@cache
def _boot() -> str:
    with suppress(OSError):
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    return ""


def _birth(pid: int) -> str | None:
    if not (_PROC / "self").exists():
        return _birth_by_ps(pid)
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *rest = stat.rpartition(")")[2].split()
    return None if state in "ZX" else f"{_boot()}/{rest[_START_TIME]}"


def session_of(leader: int) -> Iterator[int]:
    """Yield the pids of the session that `launch` started with the process `leader`."""
    for folder in _PROC.glob("[0-9]*"):
        with suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()[1:]
            if int(fields[_SESSION]) == leader:
                yield int(folder.name)


def command_of(pid: int) -> str:
    """Return the command line of a process; an empty string if it has ended."""
    with suppress(OSError):
        return (
            (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        )
    return ""


def _birth_by_ps(pid: int) -> str | None:
    answer = subprocess.run(  # noqa: S603
        ["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return answer.stdout.strip() or None


def launch(
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    user: str | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process in its own session, which Ctrl-C does not reach; append its output to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
        log.replace(log.with_suffix(".old.log"))
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if environment is None else dict(environment),
            start_new_session=True,
            user=user,
            extra_groups=[] if user else None,
        )


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for `condition`; return False if it is not met within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def wait_ready(
    process: subprocess.Popen[bytes], ready: Callable[[], bool], *, log: Path, seconds: float
) -> None:
    """Wait until the process is ready; raise StartError if it ends first or `seconds` pass."""
    if not wait_until(lambda: process.poll() is not None or ready(), seconds):
        raise StartError(f"was not ready after {seconds:.0f} s.\n{log_tail(log)}")
    if process.poll() is not None:
        raise StartError(f"exited with status {process.returncode}.\n{log_tail(log)}")


def end(process: subprocess.Popen[bytes], *, stop_signal: int = signal.SIGTERM, seconds: float = 10) -> None:
    """Stop a child; kill it after `seconds`. The rest of its process group is killed in any case."""
    if process.poll() is None:
        process.send_signal(stop_signal)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
    _kill_group(process.pid)
    process.wait()


def end_recorded(identity: Identity, *, stop_signal: int = signal.SIGTERM, seconds: float = 10) -> None:
    """Stop a process of an earlier run like `end`; do nothing if another process has its pid now."""
    if not identity.runs():
        return
    os.kill(identity.pid, stop_signal)
    wait_until(lambda: not identity.runs(), seconds)
    if identity.runs():
        _kill_group(identity.pid)
        wait_until(lambda: not identity.runs(), seconds)


def _kill_group(leader: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def marked(mark: str) -> Iterator[int]:
    """Yield the pids of running processes with `mark` (KEY=value) in their environment."""
    for folder in _PROC.glob("[0-9]*"):
        with suppress(OSError):
            if os.fsencode(mark) in (folder / "environ").read_bytes().split(b"\0"):
                yield int(folder.name)


def belongs_to(pid: int, name: str, value: str) -> bool:
    """Return whether the process was started with the variable `name` of this value.

    If its environment is hidden, as that of another user, its command line has to contain the value. A
    folder that was moved is still its own: the value in the environment then names no folder.
    """
    try:
        entries = (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except PermissionError:
        return value in command_of(pid)
    except OSError:
        return False
    prefix = f"{name}=".encode()
    found = next((os.fsdecode(entry[len(prefix) :]) for entry in entries if entry.startswith(prefix)), None)
    return found is not None and (found == value or not Path(found).exists())


def log_tail(log: Path, *, lines: int = 15) -> str:
    """Return the last lines of a log with its path, for an error message."""
    try:
        tail = log.read_text(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        tail = []
    body = "\n".join(f"    {line}" for line in tail) or "    (the log is empty)"
    return f"  Last lines of {log}:\n{body}"
