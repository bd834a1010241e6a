"""Tests the API in its own process, as `sequences api` starts it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from crud_api.imports.service import INTERRUPTED
from crud_api.server import NOT_HTTP
from local_stack.ports import LOOPBACK, answers, free_port
from local_stack.processes import launch, wait_ready, wait_until
from tests.conftest import Database
from tests.crud_api.conftest import Api

SEQUENCE = (
    b'{"name": "Welcome", "steps": [{"stepNumber": 1, "mailSubject": "Hello", "mailContent": "First"}]}'
)


@dataclass
class Server:
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"


@pytest.fixture
def server(database: Database, tmp_path: Path) -> Iterator[Server]:
    port, log = free_port(), tmp_path / "api.log"
    program = str(Path(sys.executable).parent / "sequences")
    environment = {"API_DATABASE_URL": database.api, "API_PORT": str(port)}
    process = launch([program, "api"], log=log, environment=environment)
    try:
        wait_ready(process, lambda: answers(port), log=log, seconds=30)
        yield Server(port, process, log)
    finally:
        process.kill()
        process.wait()


def test_server_takes_a_body_without_a_content_type_and_ends_at_sigterm(server: Server) -> None:
    created = httpx.post(f"{server.url}/sequences", content=SEQUENCE)
    assert created.status_code == 201, created.text
    listed = httpx.get(f"{server.url}/sequences?size=10&page=0")
    assert listed.json() == [created.json()]
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(timeout=20) in {0, -signal.SIGTERM}
    assert "Welcome" not in server.log.read_text()


def test_what_is_not_http_is_refused_in_the_same_form(server: Server) -> None:
    too_long = b"GET /contacts?mailAddress=" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: api\r\n\r\n"
    for sent in (too_long, b"GET /\xff\x00 HTTP/9\r\n\r\n", b"hello\r\n\r\n"):
        with socket.create_connection((LOOPBACK, server.port), timeout=10) as client:
            client.sendall(sent)
            head, _, body = client.makefile("rb").read().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 ")
        assert b"\r\nX-Request-Id: " in head
        assert json.loads(body) == {"message": NOT_HTTP}
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "x" * 16}
    assert httpx.get(f"{server.url}/healthz", headers=upgrade).json() == {"status": "ok"}


def begin_import(server: Server) -> socket.socket:
    """Send the first part of a file and keep the connection open."""
    client = socket.create_connection((LOOPBACK, server.port))
    head = b"POST /contacts/imports HTTP/1.1\r\nHost: api\r\nContent-Length: 1000000\r\n\r\n"
    client.sendall(head + b"name,mailAddress\nAda,ada@example.com\n" * 2)
    assert wait_until(lambda: [one["state"] for one in imports(server)] == ["reading"], 10)
    return client


def imports(server: Server) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = httpx.get(f"{server.url}/imports").json()
    return listed


def test_import_whose_connection_breaks_has_failed_and_kept_nothing(server: Server) -> None:
    begin_import(server).close()
    assert wait_until(lambda: imports(server)[0]["state"] == "failed", 10)
    [shown] = imports(server)
    assert shown["message"] == "body: the connection was closed before the body was complete"
    assert httpx.get(f"{server.url}/contacts").json() == []


def test_import_whose_process_is_killed_has_failed_for_whoever_asks_next(server: Server, api: Api) -> None:
    with begin_import(server):
        assert api.get("/imports").json()[0]["state"] == "reading"
        server.process.kill()
        server.process.wait()
        api.sql("UPDATE imports SET created = created - interval '1 minute'")
        assert wait_until(lambda: api.get("/imports").json()[0]["state"] == "failed", 10)
    assert api.get("/imports").json()[0]["message"] == INTERRUPTED
