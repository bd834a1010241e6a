"""Runs schemathesis against the real server: every operation, all checks, a fixed seed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_stack.ports import LOOPBACK, answers, free_port
from local_stack.processes import end, launch, wait_ready
from sequence_store.secrets.api_keys import Scope, hash_key, new_key
from tests.conftest import Database

CONFIG = Path(__file__).parent / "schemathesis.toml"
PROGRAMS = Path(sys.executable).parent


@pytest.fixture
def key(database: Database) -> str:
    """Create a key with all scopes."""
    key = new_key()
    with database.connect() as connection:
        connection.execute(
            "INSERT INTO api_keys (key_name, key_hash, scopes) VALUES ('schemathesis', %s, %s)",
            (hash_key(key), list(Scope)),
        )
    return key


@pytest.fixture
def served(database: Database, tmp_path: Path) -> Iterator[str]:
    """Serve the API in its own process, with API keys required; yield its URL."""
    port, log = free_port(), tmp_path / "api.log"
    environment = {
        "API_DATABASE_URL": database.api,
        "API_PORT": str(port),
        "API_AUTH": "on",
        "API_RATE_LIMIT_PER_MINUTE": "0",
    }
    process = launch([str(PROGRAMS / "sequences"), "api"], log=log, environment=environment)
    try:
        wait_ready(process, lambda: answers(port), log=log, seconds=30)
        yield f"http://{LOOPBACK}:{port}"
    finally:
        end(process)


def test_every_operation_does_what_the_document_says(served: str, key: str) -> None:
    played = subprocess.run(
        [
            str(PROGRAMS / "schemathesis"),
            *("--config-file", str(CONFIG)),
            *("run", f"{served}/openapi.json"),
            *("--header", f"Authorization: Bearer {key}"),
            *("--seed", "1", "--no-color"),
        ],
        cwd=CONFIG.parent,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert played.returncode == 0, played.stdout + played.stderr
