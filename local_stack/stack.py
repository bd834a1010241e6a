"""`stack up`, `stack down`, `stack env`: the whole stack in one call each."""

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

from local_stack.env_file import env_file_of, read_env_file, write_env_file
from local_stack.errors import StackError
from local_stack.folder import StackFolder
from local_stack.postgres import Postgres
from local_stack.processes import Identity, last_words, wait_until
from local_stack.program import Stages
from local_stack.programs import all_stages
from local_stack.progress import Progress
from local_stack.supervisor import Supervisor, end_leftovers
from local_stack.variables import (
    choose_ports,
    make_variables,
    program_environment,
)

StagesOf = Callable[[StackFolder, Postgres, Mapping[str, int], Mapping[str, str]], Stages]
SUPERVISOR = "supervisor"
START_BOUND_SECONDS = 600
STOP_BOUND_SECONDS = 120
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def up(root: Path, *, stages: StagesOf = all_stages, detached: bool = False) -> None:
    """Start the stack and keep it running until a signal; return at once where it is up already.

    With `detached`, what the supervisor says goes to its log once everything is ready. A start that fails
    stops what it had started and raises StackError.
    """
    os.umask(0o077)
    folder = StackFolder(root)
    progress = Progress()
    lock = folder.lock()
    if lock is None:
        _await_other(folder, progress)
        return
    with lock:
        folder.enter_supervisor(lock)
        _end_by_signal()
        with suppress(KeyboardInterrupt):
            _run(folder, stages, progress, detached=detached)


def up_detached(root: Path, *, command: Sequence[str] | None = None) -> None:
    """Start the stack in the background; return when it is ready, raise StackError if it cannot start."""
    folder = StackFolder(root)
    folder.make()
    own = [sys.executable, "-m", "local_stack", str(folder.root.resolve())]
    process = subprocess.Popen(command or own, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603
    try:
        wait_until(lambda: folder.is_ready(process.pid) or process.poll() is not None, START_BOUND_SECONDS)
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        process.wait()
        raise
    if process.poll() is not None and not folder.is_ready():
        raise StackError("The stack did not start; what failed stands above.")
    process.returncode = 0  # it goes on without us, and nobody has to wait for it


def down(root: Path) -> None:
    """Stop everything, also what a supervisor left behind that was killed."""
    folder = StackFolder(root)
    progress = Progress()
    lock = folder.lock()
    if lock is None:
        lock = _stop_supervisor(folder, progress)
    with lock:
        folder.ready_file.unlink(missing_ok=True)
        end_leftovers(folder, progress)
    progress.say("The stack is down.")


def environment(root: Path) -> dict[str, str]:
    """Return the variables of the stack, empty before its first start."""
    return read_env_file(env_file_of(root))


def _run(folder: StackFolder, stages: StagesOf, progress: Progress, *, detached: bool) -> None:
    end_leftovers(folder, progress)
    ports = choose_ports(folder)
    postgres = Postgres(folder.path / "postgres", ports["postgres"], log=folder.log("postgres"))
    variables = make_variables(folder, postgres, ports)
    write_env_file(folder.env_file, variables)
    supervisor = Supervisor(
        folder,
        stages(folder, postgres, ports, variables),
        program_environment(folder, variables),
        progress,
    )
    supervisor.start()
    try:
        progress.addresses(variables, folder.env_file)
        _tell_ready(folder, progress, detached=detached)
        supervisor.watch()
    finally:
        folder.ready_file.unlink(missing_ok=True)
        supervisor.stop()


def _tell_ready(folder: StackFolder, progress: Progress, *, detached: bool) -> None:
    if detached:
        progress.say("The stack is up. `sequences stack down` stops it.")
        sys.stdout.flush()
        _speak_into(folder.log(SUPERVISOR))
    else:
        progress.say("The stack is up. Ctrl-C stops it.")
    folder.say_ready()


def _speak_into(log: Path) -> None:
    with log.open("ab") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())


def _end_by_signal() -> None:
    def end(_number: int, _frame: FrameType | None) -> None:
        for ending in _ENDING:  # the first one counts: stopping has a bound of its own
            signal.signal(ending, signal.SIG_IGN)
        raise KeyboardInterrupt

    for ending in _ENDING:
        signal.signal(ending, end)


def _await_other(folder: StackFolder, progress: Progress) -> None:
    if not folder.is_ready():
        progress.say("The stack is starting already; waiting for it.")
    if not wait_until(folder.is_ready, START_BOUND_SECONDS):
        raise StackError(
            "The stack that is starting has not become ready. `sequences stack down` stops it.\n"
            + last_words(folder.log(SUPERVISOR))
        )
    progress.say("The stack is up already.")
    progress.addresses(read_env_file(folder.env_file), folder.env_file)


def _stop_supervisor(folder: StackFolder, progress: Progress) -> IO[str]:
    """Ask the supervisor to stop everything, insist after a bound, and return its lock."""
    wait_until(lambda: folder.supervisor() != 0, 5)
    supervisor = Identity.of(folder.supervisor())
    if supervisor:
        progress.say("Stopping the stack.")
        with suppress(ProcessLookupError):
            os.kill(supervisor.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_BOUND_SECONDS
    while (lock := folder.lock()) is None:
        if time.monotonic() > deadline and supervisor and supervisor.runs():
            os.kill(supervisor.pid, signal.SIGKILL)
        time.sleep(0.05)
    return lock
