"""Tests that every package is pinned by the hashes of its files, and none is younger than a week."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCKS = sorted(
    path
    for path in ROOT.rglob("*.lock")
    if not {".venv", ".uv", ".local"} & set(path.relative_to(ROOT).parts)
)


def _requirements(lock: Path) -> list[str]:
    text = re.sub(r"\\\n\s*", " ", lock.read_text())
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_every_package_is_pinned_with_the_hashes_of_its_files() -> None:
    assert ROOT / "requirements.lock" in LOCKS
    for lock in LOCKS:
        for line in _requirements(lock):
            assert re.match(r"[a-z0-9][a-z0-9._-]*(\[[^\]]+\])?==\S+ ", line), (lock.name, line[:80])
            assert re.search(r"--hash=sha256:[0-9a-f]{64}", line), (lock.name, line[:80])


def test_lock_names_every_direct_requirement_and_no_registry() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + [
        one for extra in project["optional-dependencies"].values() for one in extra
    ]
    locked = {re.split(r"[\[=]", line)[0] for line in _requirements(ROOT / "requirements.lock")}
    names = {re.split(r"[\[<>=!~; ]", one)[0].lower().replace("_", "-") for one in wanted}
    assert names - locked == set()
    assert "://" not in (ROOT / "requirements.lock").read_text()


def test_setup_installs_by_hash_alone_and_new_versions_wait_a_week() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "--require-hashes requirements.lock" in makefile
    lock = makefile.partition("\nlock:")[2].partition("\n\n")[0]
    assert "--generate-hashes" in lock
    assert '--exclude-newer "1 week"' in lock


def test_rules_for_unsafe_code_are_on_for_the_whole_product() -> None:
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert lint["select"] == ["ALL"]
    off = {rule for rules in (lint["ignore"], *lint["per-file-ignores"].values()) for rule in rules}
    spared = {glob for glob, rules in lint["per-file-ignores"].items() if "S" in rules}
    assert not {rule for rule in off if re.fullmatch(r"S\d+", rule)}
    assert spared <= {"tests/**", "bench/**"}


def test_nobodys_key_is_in_the_project() -> None:
    keys = re.compile(
        r"AKIA[0-9A-Z]{16}|gh[pousr]_\w{36}|xox[abprs]-\w{10}|AIza[\w-]{35}|sk_live_\w{16}"
        r"|-----BEGIN [A-Z ]*PRIVATE KEY-----\n[A-Za-z0-9+/=]{40}"
    )
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True)
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    assert len(files) > 100
    assert [file for file in files if file.is_file() and keys.search(file.read_text(errors="replace"))] == []
