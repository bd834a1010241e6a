"""Tests that Dagster's own commands work in a clone after `make setup`, with nothing running."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

from local_stack.ports import free_port
from local_stack.processes import wait_until

ROOT = Path(__file__).parents[2]
NOT_CLONED = shutil.ignore_patterns(
    ".git", ".venv*", ".uv", ".local", ".*_cache", "__pycache__", "pictures", ".tmp_dagster_home_*"
)
# What a shell has by itself: no setting of the product, no DAGSTER_HOME.
SHELL = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
_LOCATIONS = """{ workspaceOrError { ... on Workspace { locationEntries {
    name loadStatus locationOrLoadError { __typename ... on PythonError { message } } } } } }"""
_DAEMONS = "{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the project, with the environment that `make setup` makes."""
    folder = tmp_path_factory.mktemp("clean") / "any name"
    shutil.copytree(ROOT, folder, ignore=NOT_CLONED)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def in_clone(clone: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [f".venv/bin/{command[0]}", *command[1:]],
        cwd=clone,
        env=SHELL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_dg_check_defs_finds_no_fault(clone: Path) -> None:
    done = in_clone(clone, "dg", "check", "defs")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All definitions loaded successfully." in done.stdout
    assert "does not match" not in done.stdout + done.stderr  # the environment need not be activated


def test_dg_list_defs_lists_assets_checks_and_jobs(clone: Path) -> None:
    done = in_clone(clone, "dg", "list", "defs", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    listed = json.loads(done.stdout)
    assets = {asset["asset_key"] for asset in listed["assets"]}
    assert {"send_plan", "sending_health", "sends", "step_mailing_worker"} <= assets
    assert {"daily_plan", "reconcile", "remove_old_runs"} <= {job["name"] for job in listed["jobs"]}
    assert listed["schedules"]
    assert listed["sensors"]
    assert listed["asset_checks"]


def test_dagster_definitions_validate_succeeds(clone: Path) -> None:
    done = in_clone(clone, "dagster", "definitions", "validate")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All code locations passed validation." in done.stderr + done.stdout


def test_fault_in_the_definitions_fails_both_checks(clone: Path) -> None:
    definitions = clone / "sequence_pipelines" / "definitions.py"
    whole = definitions.read_text()
    definitions.write_text(whole.replace('"settings": pipeline_settings,', ""))
    try:
        for command in (("dg", "check", "defs"), ("dagster", "definitions", "validate")):
            done = in_clone(clone, *command)
            assert done.returncode == 1
            assert "settings" in done.stdout + done.stderr
    finally:
        definitions.write_text(whole)


@pytest.fixture
def dev_server(clone: Path) -> Iterator[int]:
    port = free_port()
    process = subprocess.Popen(
        [".venv/bin/dg", "dev", "--port", str(port), "--host", "127.0.0.1"],
        cwd=clone,
        env=SHELL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield port
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def asked(port: int, query: str) -> dict[str, Any]:
    request = Request(
        f"http://127.0.0.1:{port}/graphql",
        json.dumps({"query": query}).encode(),
        {"Content-Type": "application/json"},
    )
    with suppress(URLError, OSError), urlopen(request, timeout=10) as answer:
        data: dict[str, Any] = json.load(answer)["data"]
        return data
    return {}


def test_dg_dev_serves_the_definitions_with_healthy_daemons(clone: Path, dev_server: int) -> None:
    def locations() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (
            asked(dev_server, _LOCATIONS).get("workspaceOrError", {}).get("locationEntries", [])
        )
        return found

    assert wait_until(lambda: any(one["loadStatus"] == "LOADED" for one in locations()), 120)
    (location,) = locations()
    assert (location["name"], location["locationOrLoadError"]["__typename"]) == (
        "sequence_pipelines",
        "RepositoryLocation",
    )

    def healthy() -> bool:
        health = asked(dev_server, _DAEMONS).get("instance", {}).get("daemonHealth", {})
        required = [one for one in health.get("allDaemonStatuses", []) if one["required"]]
        return bool(required) and all(one["healthy"] for one in required)

    assert wait_until(healthy, 60)
    assert not (clone / ".local").exists()
