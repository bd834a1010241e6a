"""Processes that we start: logged to a file, known by pid and birth, ended within a bound."""

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
KEPT_LOG_BYTES = 10_000_000
_PROC = Path("/proc")


@dataclass(frozen=True)
class Identity:
    """A process, told apart from any later one that is given the same pid."""

    pid: int
    birth: str

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """Return the identity of a running process, None if there is none (a zombie runs no longer)."""
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
    return None if state in "ZX" else f"{_boot()}/{rest[18]}"


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
    """Start a process in a session of its own (a Ctrl-C is ours to pass on) whose output goes to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > KEPT_LOG_BYTES:
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
    """Return whether `condition` held within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def wait_ready(
    process: subprocess.Popen[bytes], ready: Callable[[], bool], *, log: Path, seconds: float
) -> None:
    """Wait until the process is ready; raise StartError if it ends before, or takes longer."""
    if not wait_until(lambda: process.poll() is not None or ready(), seconds):
        raise StartError(f"is not ready after {seconds:.0f} s.\n{last_words(log)}")
    if process.poll() is not None:
        raise StartError(f"ended with status {process.returncode}.\n{last_words(log)}")


def end(process: subprocess.Popen[bytes], *, stop_signal: int = signal.SIGTERM, seconds: float = 10) -> None:
    """Ask a child to stop; after `seconds` insist. What it left in its process group ends with it."""
    if process.poll() is None:
        process.send_signal(stop_signal)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
    _kill_group(process.pid)
    process.wait()


def end_stranger(identity: Identity, *, stop_signal: int = signal.SIGTERM, seconds: float = 10) -> None:
    """Do as `end` does to a process of an earlier run, unless its pid is somebody else's by now."""
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
    """Yield the running processes that were started with `mark` (KEY=value) in their environment."""
    for folder in _PROC.glob("[0-9]*"):
        with suppress(OSError):
            if mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                yield int(folder.name)


def last_words(log: Path, *, lines: int = 15) -> str:
    """Return the last lines of a log under its name, for an error message."""
    try:
        tail = log.read_text(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        tail = []
    body = "\n".join(f"    {line}" for line in tail) or "    (it is empty)"
    return f"  Last lines of {log}:\n{body}"
