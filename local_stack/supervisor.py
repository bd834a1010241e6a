"""Starts the programs stage by stage, restarts those that die, and stops all in reverse order."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from local_stack.errors import StackError, StartError
from local_stack.folder import Record, StackFolder
from local_stack.ports import Reservation
from local_stack.processes import Identity, end, end_recorded, launch, log_tail, marked
from local_stack.program import Program, Stages
from local_stack.progress import Progress

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
STABLE_SECONDS = 60.0  # a program that ran longer than this restarts after FIRST_PAUSE again
TICK_SECONDS = 0.1
POLL_SECONDS = 0.05
FOREIGN_SECONDS = 3.0  # a program that cannot bind its port ends by itself within this time, with its reason


@dataclass
class Child:
    """A program's process and, after it died, the time of its restart."""

    program: Program
    process: subprocess.Popen[bytes]
    since: float
    ready: bool = False
    pause: float = FIRST_PAUSE
    restart_at: float | None = None
    foreign_since: float | None = None


class Supervisor:
    """Runs the programs of `stages`; `environment` is their complete environment.

    `reserved` are reservations of the programs' ports, which are handed over before each launch.
    """

    def __init__(
        self,
        folder: StackFolder,
        stages: Stages,
        environment: Mapping[str, str],
        progress: Progress,
        reserved: Iterable[Reservation] = (),
    ) -> None:
        self._folder = folder
        self._stages = stages
        self._names = [program.name for stage in stages for program in stage]
        self._environment = environment
        self._progress = progress
        self._reserved = {one.port: one for one in reserved}
        self._children: dict[str, Child] = {}

    def start(self) -> None:
        """Start all programs; if one fails, stop the others and raise StackError."""
        try:
            for stage in self._stages:
                self._start_stage(stage)
        except StartError as error:
            self.stop()
            raise StartError(
                f"{error}\nThe other programs were stopped. Correct the cause, then start the stack again."
            ) from None
        except BaseException:
            self.stop()
            raise

    def watch(self) -> None:
        """Restart programs that die, until a signal handler raises an exception."""
        while True:
            for child in list(self._children.values()):
                self._check(child)
            time.sleep(TICK_SECONDS)

    def stop(self) -> None:
        """Stop the programs, the last stage first, and every process that they left behind."""
        for stage in reversed(self._stages):
            children = [self._children.pop(p.name) for p in reversed(stage) if p.name in self._children]
            for child in children:
                _signal(child)
            for child in children:
                self._end(child)
        sweep(self._folder)

    def _start_stage(self, stage: Sequence[Program]) -> None:
        """Launch the programs of a stage and wait until all are ready; raise StartError if one ends."""
        begun = time.monotonic()
        for program in stage:
            with _named(program):
                self._launch(program)
        waiting = list(stage)
        while waiting:
            for program in list(waiting):
                with _named(program):
                    if self._has_started(program, begun):
                        waiting.remove(program)
                        self._progress.started(program.name, program.address, time.monotonic() - begun)
            self._refuse_dead()
            if waiting:
                time.sleep(POLL_SECONDS)

    def _refuse_dead(self) -> None:
        """Raise StartError if a program ended that was ready already."""
        for child in self._children.values():
            if child.ready and (status := child.process.poll()) is not None:
                with _named(child.program):
                    raise StartError(self._end_report(child.program, status))

    def _launch(self, program: Program) -> None:
        program.prepare()
        for port in program.ports:
            if port in self._reserved:
                self._reserved[port].hand_over()
        process = launch(
            program.command,
            log=self._folder.log(program.name),
            environment=self._environment,
            user=program.user,
        )
        self._children[program.name] = Child(program, process, since=time.monotonic())
        if identity := Identity.of(process.pid):
            self._folder.record(
                program.name,
                Record(
                    pid=identity.pid,
                    birth=identity.birth,
                    order=self._names.index(program.name),
                    stop_signal=program.stop_signal,
                    stop_seconds=program.stop_seconds,
                ),
            )

    def _has_started(self, program: Program, begun: float) -> bool:
        """Return whether a program is ready; raise StartError if it ended or its time is up."""
        child = self._children[program.name]
        status = child.process.poll()
        if program.once and status == 0:
            del self._children[program.name]
            self._folder.forget(program.name)
            return True
        overdue = time.monotonic() - begun > program.start_seconds
        if status is not None:
            return self._try_again(program, self._end_report(program, status), overdue=overdue)
        if not program.once and program.owns_its_ports(child.process.pid) and program.ready():
            program.on_ready()
            child.ready = True
            child.since = time.monotonic()
            return True
        self._refuse_foreign_port(child)
        if overdue:
            tail = log_tail(self._folder.log(program.name))
            raise StartError(f"was not ready after {program.start_seconds:.0f} s.\n{tail}")
        return False

    def _try_again(self, program: Program, failure: str, *, overdue: bool) -> bool:
        if overdue or not program.is_transient(failure):
            raise StartError(failure)
        time.sleep(TICK_SECONDS)
        self._launch(program)
        return False

    def _refuse_foreign_port(self, child: Child) -> None:
        """Raise StartError if another program has had a port of this one for FOREIGN_SECONDS."""
        port = child.program.foreign_port(child.process.pid)
        if port is None:
            child.foreign_since = None
            return
        child.foreign_since = child.foreign_since or time.monotonic()
        if time.monotonic() - child.foreign_since > FOREIGN_SECONDS:
            tail = log_tail(self._folder.log(child.program.name))
            raise StartError(f"cannot have port {port}: another program listens on it.\n{tail}")

    def _end_report(self, program: Program, status: int) -> str:
        return f"exited with status {status}.\n{log_tail(self._folder.log(program.name))}"

    def _check(self, child: Child) -> None:
        if child.restart_at is not None:
            if time.monotonic() >= child.restart_at:
                self._restart(child)
        elif child.process.poll() is not None:
            self._plan_restart(child)
        elif not child.ready:
            self._check_ready(child)

    def _plan_restart(self, child: Child) -> None:
        program = child.program
        end(child.process)  # kills the rest of its process group, which could hold its port
        if child.ready and time.monotonic() - child.since > STABLE_SECONDS:
            child.pause = FIRST_PAUSE
        self._progress.died(
            program.name, child.process.returncode, self._folder.log(program.name), child.pause
        )
        child.ready = False
        child.restart_at = time.monotonic() + child.pause
        child.pause = min(2 * child.pause, LONGEST_PAUSE)

    def _restart(self, child: Child) -> None:
        child.restart_at = None
        try:
            self._launch(child.program)
        except (StackError, OSError) as error:
            self._progress.failed_again(child.program.name, str(error))
            child.restart_at = time.monotonic() + child.pause
        else:
            self._children[child.program.name].pause = child.pause

    def _check_ready(self, child: Child) -> None:
        program = child.program
        try:
            if not program.owns_its_ports(child.process.pid) or not program.ready():
                self._refuse_foreign_port(child)
                return
            program.on_ready()
        except StackError as error:
            self._progress.failed_again(program.name, str(error))
            child.process.kill()
            return
        child.ready = True
        self._progress.started(program.name, program.address, time.monotonic() - child.since)
        child.since = time.monotonic()

    def _end(self, child: Child) -> None:
        begun = time.monotonic()
        end(child.process, stop_signal=0, seconds=child.program.stop_seconds)
        self._folder.forget(child.program.name)
        self._progress.stopped(child.program.name, time.monotonic() - begun)


@contextmanager
def _named(program: Program) -> Iterator[None]:
    """Prefix an error with the program's name."""
    try:
        yield
    except StackError as error:
        raise StartError(f"{program.name} {error}") from None
    except OSError as error:
        raise StartError(f"{program.name} cannot be started: {error}") from error


def _signal(child: Child) -> None:
    if child.process.poll() is None:
        child.process.send_signal(child.program.stop_signal)


def end_leftovers(folder: StackFolder, progress: Progress) -> None:
    """Stop the processes that a killed supervisor left, by its pid files; the last started first."""
    for name, record in folder.records().items():
        begun = time.monotonic()
        if folder.is_own(record):
            end_recorded(record.identity, stop_signal=record.stop_signal, seconds=record.stop_seconds)
            progress.stopped(name, time.monotonic() - begun)
        folder.forget(name)
    sweep(folder)


def sweep(folder: StackFolder) -> None:
    """Kill processes that the stack's programs left behind, found by the mark in their environment."""
    for pid in marked(folder.mark):
        if pid != os.getpid():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
