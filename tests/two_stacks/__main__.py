"""Trial: two clones run `sequences day --once` from the same second on; neither touches the other.

Each has to plan into its own database, send from its own mail sink and exit with status 0.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
SEQUENCES = str(Path(sys.executable).parent / "sequences")
NEEDED = ("dagster.yaml", "workspace.yaml", "examples")
ADDRESS = re.compile(r"127\.0\.0\.1:(\d+)")


def make_project(folder: Path) -> Path:
    """Copy what a stack needs of a clone; the code is that of this environment."""
    folder.mkdir()
    for name in NEEDED:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    return folder


def mails_of(project: Path) -> list[dict[str, object]]:
    """Return the mails that the project's sink stored."""
    lines = (project / ".local" / "mail" / "index.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def faults_of(outputs: list[str], statuses: list[int], projects: list[Path]) -> list[str]:
    """Return what is wrong with the two runs."""
    faults = [
        f"{project.name} exited with status {n}" for project, n in zip(projects, statuses, strict=True) if n
    ]
    first, second = (set(ADDRESS.findall(output)) for output in outputs)
    if both := first & second:
        faults.append(f"both stacks named the ports {', '.join(sorted(both))}")
    for project, output in zip(projects, outputs, strict=True):
        if not (planned := re.search(r"^ +planned +([\d,]+)", output, re.MULTILINE)) or planned[1] == "0":
            faults.append(f"{project.name} planned nothing")
        if len(mails_of(project)) < 3:
            faults.append(f"{project.name} sent {len(mails_of(project))} mails")
    return faults


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="two-stacks-") as folder:
        projects = [make_project(Path(folder) / name) for name in ("first", "it's the second")]
        started = [
            subprocess.Popen(
                [SEQUENCES, "day", "--once"],
                cwd=project,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
            )
            for project in projects
        ]
        outputs = [one.communicate()[0] for one in started]
        for project, output in zip(projects, outputs, strict=True):
            print(f"== {project.name}\n{output}")
        faults = faults_of(outputs, [one.returncode for one in started], projects)
    for fault in faults:
        print(f"WRONG {fault}")
    print("Two stacks ran at once, each on its own." if not faults else f"{len(faults)} faults.")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
