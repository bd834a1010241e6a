"""Measures CPU time and memory of each program of an idle stack."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import psycopg

from local_stack.env_file import read_env_file
from local_stack.folder import StackFolder

MINUTES = 5.0
SETTLE_SECONDS = 20
ROOT = Path(__file__).parents[1]
SEQUENCES = str(Path(sys.executable).parent / "sequences")
TICKS = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


def run(minutes: float = MINUTES) -> None:
    """Print CPU seconds per hour and MiB (Pss) of each program with its child processes."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        root = Path(name)
        root.chmod(0o711)
        for file in ("dagster.yaml", "workspace.yaml"):
            shutil.copy(ROOT / file, root / file)
        try:
            subprocess.run([SEQUENCES, "stack", "up", "--detach"], cwd=root, check=True, stdout=sys.stderr)
            time.sleep(SETTLE_SECONDS)
            _measure(StackFolder(root), minutes)
        finally:
            subprocess.run([SEQUENCES, "stack", "down"], cwd=root, check=True, stdout=sys.stderr)


def _measure(folder: StackFolder, minutes: float) -> None:
    before, began = _read_usage(folder), time.monotonic()
    runs_before = _runs(folder)
    time.sleep(60 * minutes)
    after, hour = _read_usage(folder), 3600 / (time.monotonic() - began)
    spent = {name: (after[name][0] - before[name][0]) * hour for name in before}
    print(f"{_runs(folder) - runs_before} runs in {minutes:g} minutes, load {os.getloadavg()[1]:.1f}\n")
    print("| | CPU, s per hour | memory, MiB |\n|---|---|---|")
    for name in sorted(spent, key=lambda name: -spent[name]):
        print(f"| {name} | {spent[name]:.0f} | {after[name][1]:.0f} |")
    print(f"| all | {sum(spent.values()):.0f} | {sum(memory for _, memory in after.values()):.0f} |")


def _read_usage(folder: StackFolder) -> dict[str, tuple[float, float]]:
    """Return CPU seconds and MiB of each program with its children, including ended ones."""
    children = defaultdict(list)
    seconds = {}
    for process in PROC.glob("[0-9]*"):
        with suppress(OSError):
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            children[int(fields[1])].append(int(process.name))
            seconds[int(process.name)] = sum(map(int, fields[11:15])) / TICKS

    def family(pid: int) -> list[int]:
        return [pid, *(one for child in children[pid] for one in family(child))]

    families = {name: family(record.pid) for name, record in folder.records().items()}
    return {
        name: (sum(seconds.get(pid, 0.0) for pid in pids), sum(map(_mebibytes, pids)))
        for name, pids in families.items()
    }


def _mebibytes(pid: int) -> float:
    with suppress(OSError):
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _runs(folder: StackFolder) -> int:
    url = read_env_file(folder.env_file)["DAGSTER_DATABASE_URL"].replace("+psycopg2", "")
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM runs").fetchone()
    return int(row[0]) if row else 0
