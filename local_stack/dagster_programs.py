"""Defines Dagster's three programs: a code server, shared by the webserver and the daemon."""

from __future__ import annotations

import http.client
import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from local_stack.errors import StartError
from local_stack.folder import StackFolder
from local_stack.ports import LOOPBACK
from local_stack.program import ANSWER_SECONDS, BIN, Program, listens

DEFINITIONS = "sequence_pipelines.definitions"
PROJECT = Path(__file__).parents[1]
SERVER_INSTANCE = Path("deploy", "dagster.yaml")
START_SECONDS = 180.0
CODE_STOP_SECONDS = 60.0  # in which its runs finish; a run that is killed is retried after the next start
_LOCATIONS = """{ workspaceOrError { ... on PythonError { message } ... on Workspace { locationEntries {
    name loadStatus locationOrLoadError { __typename ... on PythonError { message } } } } } }"""
_DAEMONS = (
    "{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy lastHeartbeatTime } } } }"
)


def code_server(folder: StackFolder, port: int) -> Program:
    """Serve the code location; create DAGSTER_HOME with a link to deploy/dagster.yaml."""
    options = ("-h", LOOPBACK, "-p", str(port), "-m", DEFINITIONS, "-d", str(folder.root.resolve()))
    return Program(
        "dagster-code",
        [str(BIN / "dagster"), "code-server", "start", *options, "--location-name", "sequence_pipelines"],
        ports=[port],
        ready=listens(port),
        address=f"{LOOPBACK}:{port}",
        prepare=lambda: _make_home(folder),
        start_seconds=START_SECONDS,
        stop_seconds=CODE_STOP_SECONDS,
    )


def webserver(folder: StackFolder, port: int) -> Program:
    """Serve the UI; ready once the code location is loaded without an error."""
    return Program(
        "dagster-web",
        [str(BIN / "dagster-webserver"), "-h", LOOPBACK, "-p", str(port), *_workspace(folder)],
        ports=[port],
        ready=lambda: _location_is_loaded(port),
        address=f"http://{LOOPBACK}:{port}",
        start_seconds=START_SECONDS,
    )


def daemon(folder: StackFolder, web_port: int) -> Program:
    """Run schedules, sensors, run queue and monitoring; ready once all daemons of this start are healthy."""
    launched_at = _Clock()
    return Program(
        "dagster-daemon",
        [str(BIN / "dagster-daemon"), "run", *_workspace(folder)],
        ready=lambda: _daemons_are_healthy(web_port, since=launched_at.seconds),
        prepare=launched_at.read,
        start_seconds=START_SECONDS,
        stop_seconds=20,
    )


def _workspace(folder: StackFolder) -> tuple[str, str]:
    return "-w", str(folder.root.resolve() / "workspace.yaml")


def _make_home(folder: StackFolder) -> None:
    root = folder.root.resolve()
    if not (root / "dagster.yaml").exists():
        raise StartError(f"needs {root / 'dagster.yaml'}. Run the command in the project's root folder.")
    home = folder.path / "dagster"
    home.mkdir(exist_ok=True)
    link = home / "dagster.yaml"
    link.unlink(missing_ok=True)
    link.symlink_to(_instance(root))


def _instance(root: Path) -> Path:
    """Return the instance on Postgres: that of the folder, or else that of the installed project."""
    own, installed = root / SERVER_INSTANCE, PROJECT / SERVER_INSTANCE
    if not own.exists() and not installed.exists():
        raise StartError(f"needs {own}. Run the command in a clone of the project.")
    return own if own.exists() else installed


def _location_is_loaded(port: int) -> bool:
    workspace = _query(port, _LOCATIONS).get("workspaceOrError", {})
    entries = workspace.get("locationEntries", [])
    for entry in entries:
        outcome = entry["locationOrLoadError"] or {}
        if outcome.get("__typename") == "PythonError":
            raise StartError(f"cannot load {entry['name']}: {outcome['message'].strip()}")
    return bool(entries) and all(entry["loadStatus"] == "LOADED" for entry in entries)


def _daemons_are_healthy(port: int, *, since: float) -> bool:
    """Return whether each daemon has a heartbeat from after `since`: the database keeps those of earlier."""
    statuses = _query(port, _DAEMONS).get("instance", {}).get("daemonHealth", {}).get("allDaemonStatuses", [])
    required = [status for status in statuses if status["required"]]
    return bool(required) and all(
        status["healthy"] and (status["lastHeartbeatTime"] or 0) >= since for status in required
    )


class _Clock:
    """The time at which a program was launched, in seconds since 1970."""

    seconds = 0.0

    def read(self) -> None:
        self.seconds = time.time()


def _query(port: int, query: str) -> dict[str, Any]:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=ANSWER_SECONDS)
    with suppress(OSError, http.client.HTTPException, ValueError):
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/graphql", json.dumps({"query": query}), headers)
        answer = json.load(connection.getresponse())
        connection.close()
        return answer.get("data") or {}
    connection.close()
    return {}
