"""Starts and stops the whole stack: the functions behind `sequences stack`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import IO

from local_stack.env_file import read_env_file, write_env_file
from local_stack.errors import StackError
from local_stack.folder import StackFolder
from local_stack.postgres import Postgres
from local_stack.processes import Identity, log_tail, wait_until
from local_stack.program import Stages
from local_stack.programs import all_stages
from local_stack.progress import Progress
from local_stack.supervisor import Supervisor, end_leftovers
from local_stack.variables import (
    make_variables,
    program_environment,
    reserve_ports,
)

StagesOf = Callable[[StackFolder, Postgres, Mapping[str, int], Mapping[str, str]], Stages]
SUPERVISOR = "supervisor"
START_TIMEOUT_SECONDS = 600
STOP_TIMEOUT_SECONDS = 120
# Of the folder of .venv/: initdb gives its path to a shell between double quotes, and Alembic, which Dagster
# runs, takes % for a reference. Spaces, single quotes and umlauts do no harm.
_UNUSABLE_IN_PATHS = set('"$`\\\n%')
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def up(root: Path, *, stages: StagesOf = all_stages, detached: bool = False) -> None:
    """Start the stack and run it until a signal; if it runs already, wait until it is ready and return.

    With `detached`, the supervisor's output goes to its log once all programs are ready. If a program fails
    to start, the programs that were started are stopped and StackError is raised.
    """
    os.umask(0o077)
    _refuse_environment_path(sys.prefix)
    folder = StackFolder(root)
    progress = Progress()
    lock = folder.lock()
    if lock is None:
        _await_other(folder, progress)
        return
    with lock:
        folder.enter_supervisor(lock)
        _handle_stop_signals()
        with suppress(KeyboardInterrupt):
            _run(folder, stages, progress, detached=detached)


def up_detached(root: Path, *, command: Sequence[str] | None = None) -> None:
    """Start the stack in the background; return when it is ready; raise StackError if it cannot start."""
    folder = StackFolder(root)
    folder.make()
    own = [sys.executable, "-m", "local_stack", str(folder.root.resolve())]
    process = subprocess.Popen(command or own, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603
    try:
        wait_until(lambda: folder.is_ready(process.pid) or process.poll() is not None, START_TIMEOUT_SECONDS)
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        process.wait()
        raise
    if process.poll() is not None and not folder.is_ready():
        raise StackError("The stack did not start. The cause is printed above.")
    process.returncode = (
        0  # the supervisor runs on; silences the warning about a child that was not waited for
    )


def down(root: Path) -> None:
    """Stop all programs, also those of a supervisor that was killed."""
    folder = StackFolder(root)
    progress = Progress()
    lock = folder.lock()
    if lock is None:
        lock = _stop_supervisor(folder, progress)
    with lock:
        folder.ready_file.unlink(missing_ok=True)
        end_leftovers(folder, progress)
        folder.env_file.unlink(missing_ok=True)
    progress.say("The stack is stopped.")


def environment(root: Path) -> dict[str, str]:
    """Return the variables of the running stack; raise StackError if none runs in the folder `root`."""
    folder = StackFolder(root)
    if not folder.runs():
        raise StackError("No stack is running in this folder. `sequences stack up` starts one.")
    if folder.is_supervised() and not folder.is_ready():
        raise StackError("The stack is still starting. `sequences stack up` waits until it is ready.")
    return read_env_file(folder.env_file)


def _run(folder: StackFolder, stages: StagesOf, progress: Progress, *, detached: bool) -> None:
    end_leftovers(folder, progress)
    reserved = reserve_ports(folder)  # until this process ends
    ports = {name: one.port for name, one in reserved.items()}
    postgres = Postgres(folder.path / "postgres", ports["postgres"], log=folder.log("postgres"))
    variables = make_variables(folder, postgres, ports)
    write_env_file(folder.env_file, variables)
    supervisor = Supervisor(
        folder,
        stages(folder, postgres, ports, variables),
        program_environment(folder, variables),
        progress,
        reserved.values(),
    )
    try:
        supervisor.start()
        progress.addresses(variables, folder.env_file)
        _report_ready(folder, progress, detached=detached)
        supervisor.watch()
    finally:
        folder.ready_file.unlink(missing_ok=True)
        supervisor.stop()
        folder.env_file.unlink(missing_ok=True)  # other programs may have the ports from now on
        for one in reserved.values():
            one.release()


def _refuse_environment_path(prefix: str) -> None:
    """Raise StackError if Postgres or Dagster cannot run from this path."""
    if found := sorted(set(prefix) & _UNUSABLE_IN_PATHS):
        raise StackError(
            f"The folder {prefix!r} has {' '.join(map(repr, found))} in its path. "
            "Postgres and Dagster cannot run from there: "
            "move the project to a folder without these characters."
        )


def _report_ready(folder: StackFolder, progress: Progress, *, detached: bool) -> None:
    if detached:
        progress.say("The stack is ready. `sequences stack down` stops it.")
        sys.stdout.flush()
        _redirect_output(folder.log(SUPERVISOR))
    else:
        progress.say("The stack is ready. Ctrl-C stops it.")
    folder.mark_ready()


def _redirect_output(log: Path) -> None:
    with log.open("ab") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())


def _handle_stop_signals() -> None:
    def end(_number: int, _frame: FrameType | None) -> None:
        for number in _STOP_SIGNALS:  # ignores further signals: stopping has its own timeout
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in _STOP_SIGNALS:
        signal.signal(number, end)


def _await_other(folder: StackFolder, progress: Progress) -> None:
    if not folder.is_ready():
        progress.say("Another process is starting the stack. Waiting for it.")
    if not wait_until(folder.is_ready, START_TIMEOUT_SECONDS):
        raise StackError(
            "The other process did not get the stack ready. `sequences stack down` stops it.\n"
            + log_tail(folder.log(SUPERVISOR))
        )
    progress.say("The stack is already running.")
    progress.addresses(read_env_file(folder.env_file), folder.env_file)


def _stop_supervisor(folder: StackFolder, progress: Progress) -> IO[str]:
    """Stop the supervisor, kill it after STOP_TIMEOUT_SECONDS, and return its lock."""
    wait_until(lambda: folder.supervisor() != 0, 5)
    supervisor = Identity.of(folder.supervisor())
    if supervisor:
        progress.say("Stopping the stack.")
        with suppress(ProcessLookupError):
            os.kill(supervisor.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
    while (lock := folder.lock()) is None:
        if time.monotonic() > deadline and supervisor and supervisor.runs():
            os.kill(supervisor.pid, signal.SIGKILL)
        time.sleep(0.05)
    return lock
