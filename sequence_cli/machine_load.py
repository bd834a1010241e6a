"""Measures how much of the machine programs outside the stack use, from /proc.

`make run ONCE=1` applies its bound on the lateness of mails only if the machine had time for the stack.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from local_stack.processes import marked

PERIOD_SECONDS = 1.0
WINDOW = 10  # samples
LOADED_SHARE = 0.3  # of the machine's processor time
_STAT, _CGROUP = Path("/proc/stat"), Path("/sys/fs/cgroup/cpu.stat")
_IDLE = {3, 4}  # columns idle and iowait of /proc/stat
_COLUMNS = 8  # further columns are contained in the first ones


@dataclass(frozen=True)
class Reading:
    """Processor time since the boot in clock ticks: of all processors, busy, and of the stack's processes.

    `throttled` is the time, in seconds, for which the kernel paused this container at its CPU limit.
    """

    total: int
    busy: int
    own: dict[int, int]
    throttled: float


def share_of_others(before: Reading, after: Reading) -> float:
    """Return which share of the machine, 0 to 1, was not available to the stack between two readings."""
    total = after.total - before.total
    if total <= 0:
        return 0.0
    own = sum(max(0, ticks - before.own.get(pid, 0)) for pid, ticks in after.own.items())
    seconds = total / os.sysconf("SC_CLK_TCK") / (os.cpu_count() or 1)
    paused = (after.throttled - before.throttled) / seconds
    return min(1.0, max(0.0, (after.busy - before.busy - own) / total, paused))


class LoadMeter:
    """Reads the load once a second in a thread; `mark` tells the stack's processes (`StackFolder.mark`)."""

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._recent: deque[Reading] = deque(maxlen=WINDOW + 1)
        self._highest = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def share(self) -> float:
        """Return the largest share of the machine that others used for WINDOW seconds."""
        return self._highest

    @property
    def is_loaded(self) -> bool:
        return self._highest >= LOADED_SHARE

    def _run(self) -> None:
        while not self._ended.wait(PERIOD_SECONDS):
            if (reading := read_load(self._mark)) is None:
                return
            self._recent.append(reading)
            if len(self._recent) > WINDOW:
                self._highest = max(self._highest, share_of_others(self._recent[0], reading))


def read_load(mark: str) -> Reading | None:
    """Read the processors' and the processes' times; None on a system without /proc/stat."""
    try:
        line = _STAT.read_text().partition("\n")[0].split()[1 : _COLUMNS + 1]
    except OSError:
        return None
    times = [int(ticks) for ticks in line]
    busy = sum(ticks for column, ticks in enumerate(times) if column not in _IDLE)
    own = {pid: ticks for pid in (*marked(mark), os.getpid()) if (ticks := _ticks_of(pid)) is not None}
    return Reading(sum(times), busy, own, _throttled_seconds())


def _ticks_of(pid: int) -> int | None:
    """Return the time of a process and of its children that have ended and been waited for."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(ticks) for ticks in fields[11:15])
    return None


def _throttled_seconds() -> float:
    with suppress(OSError):
        for line in _CGROUP.read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "throttled_usec":
                return int(value) / 1e6
    return 0.0
