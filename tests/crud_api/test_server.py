"""The API as a process of its own, as `sequences api` starts it."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import httpx

from local_stack.ports import LOOPBACK, answers, free_port
from local_stack.processes import launch, wait_ready
from tests.conftest import Database

SEQUENCE = (
    b'{"name": "Welcome", "steps": [{"stepNumber": 1, "mailSubject": "Hello", "mailContent": "First"}]}'
)


def test_server_takes_a_body_without_a_content_type_and_ends_at_sigterm(
    database: Database, tmp_path: Path
) -> None:
    port, log = free_port(), tmp_path / "api.log"
    program = str(Path(sys.executable).parent / "sequences")
    environment = {"API_DATABASE_URL": database.api, "API_PORT": str(port)}
    process = launch([program, "api"], log=log, environment=environment)
    try:
        wait_ready(process, lambda: answers(port), log=log, seconds=30)
        created = httpx.post(f"http://{LOOPBACK}:{port}/sequences", content=SEQUENCE)
        assert created.status_code == 201, created.text
        listed = httpx.get(f"http://{LOOPBACK}:{port}/sequences?size=10&page=0")
        assert listed.json() == [created.json()]
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) in {0, -signal.SIGTERM}
    finally:
        process.kill()
        process.wait()
    assert "Welcome" not in log.read_text()
