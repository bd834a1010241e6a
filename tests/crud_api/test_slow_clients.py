"""Tests a real server with clients that break off, stall or are slow: everyone else is served as before."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from local_stack.ports import LOOPBACK, answers, free_port
from local_stack.postgres import Postgres
from local_stack.processes import launch, wait_ready, wait_until
from tests.conftest import ROLES, Database
from tests.crud_api.slow_clients import begin_download, break_off, many, request, seconds_until_closed

ROWS = 2_000  # 20 MB of CSV: much more than the buffers of both sockets
SHORT = {  # bounds of the server, shortened so that the test does not wait for them
    "crud_api.server.DRAIN_SECONDS": 1,
    "crud_api.server.END_SECONDS": 4,
    "crud_api.server.IDLE_SECONDS": 2,
    "crud_api.server.STALLED_SECONDS": 3,
    "crud_api.body_limit.LONGEST_SECONDS": 2,
    "crud_api.imports.body_file.LONGEST_PAUSE_SECONDS": 20,
}
SERVE = """
import importlib, json, os
for name, value in json.loads(os.environ["BOUNDS"]).items():
    module, _, constant = name.rpartition(".")
    setattr(importlib.import_module(module), constant, value)
exec(os.environ.get("HANG", ""))
from crud_api.server import serve
serve()
"""
UPLOAD = "POST /contacts/imports HTTP/1.1\r\nHost: api\r\nContent-Length: 1000000\r\n\r\nname,mailAddress\n"
EXPORT, GRACE = "/contacts/export", b"name,mailAddress\nGrace,grace@example.com\n"


@dataclass
class Server:
    port: int
    process: subprocess.Popen[bytes]
    log: Path
    database: Database

    def get(self, path: str, **options: Any) -> httpx.Response:
        return httpx.get(f"http://{LOOPBACK}:{self.port}{path}", timeout=10, **options)

    def sessions(self) -> int:
        """Return how many sessions read contacts or reports in a transaction."""
        with self.database.connect() as connection:
            reading = connection.execute(
                "SELECT count(DISTINCT pid) FROM pg_locks WHERE pid <> pg_backend_pid()"
                " AND relation IN ('contacts'::regclass, 'import_lines'::regclass)"
            ).fetchone()
        return int(reading[0]) if reading else 0

    def all_answer(self) -> None:
        for path in ("/healthz", "/readyz", "/metrics", "/contacts?size=1", "/sequences", "/imports"):
            answer = self.get(path)
            assert answer.status_code == 200, (path, answer.text)


@contextmanager
def serving(database: Database, folder: Path, *, hang: str = "") -> Iterator[Server]:
    """Serve the API as a process with contacts of 20 MB; `hang` is Python code that makes routes hang."""
    with database.connect() as connection:
        connection.execute(
            "INSERT INTO contacts (name, mail_address, attributes) SELECT 'n', 'c' || n || '@example.com',"
            f" jsonb_build_object('a', repeat('x', 10000)) FROM generate_series(1, {ROWS}) n"
        )
    port, log = free_port(), folder / "api.log"
    environment = {
        "API_DATABASE_URL": database.api,
        "API_PORT": str(port),
        "API_DATABASE_CONNECTIONS": "8",
        "BOUNDS": json.dumps(SHORT),
        "HANG": hang,
    }
    process = launch([sys.executable, "-c", SERVE], log=log, environment=environment)
    try:
        wait_ready(process, lambda: answers(port), log=log, seconds=30)
        yield Server(port, process, log, database)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def server(postgres: Postgres, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return an API for all tests of this module that do not end it."""
    name = "shared_by_slow_clients"
    postgres.create_database(name, template=template)
    urls = {role: postgres.url(f"sequence_{role}", name) for role in ("owner", *ROLES)}
    with serving(Database(name=name, **urls), tmp_path_factory.mktemp("slow")) as served:
        yield served
    postgres.drop_database(name)


def test_download_that_is_broken_off_frees_its_connection_and_blocks_nobody(server: Server) -> None:
    posted = httpx.post(f"http://{LOOPBACK}:{server.port}/contacts/imports", content=GRACE, timeout=30).json()
    with server.database.connect() as connection:
        connection.execute(
            "INSERT INTO import_lines SELECT i.id, n, 'refused', repeat('r', 10000)"
            f" FROM imports i, generate_series(1, {ROWS}) n WHERE i.external_id = %s",
            (posted["id"],),
        )
    for path in (EXPORT, f"/imports/{posted['id']}/report"):
        for hard in (False, True):
            downloads = [begin_download(server.port, path) for _ in range(3)]
            assert server.sessions() == 3
            for client in downloads:
                break_off(client, hard=hard)
            server.all_answer()
            assert wait_until(lambda: server.sessions() == 0, 2), "a connection is still in use"
    used = 'db_client_connection_count{state="used"} 0.0'
    assert used in server.get("/metrics").text
    assert len(server.get(EXPORT).content.splitlines()) == ROWS + 2


def test_download_whose_client_takes_nothing_is_ended_and_a_further_one_waits_its_turn(
    server: Server,
) -> None:
    with many(begin_download(server.port, EXPORT) for _ in range(4)):
        server.all_answer()
        # All four permits are taken: a fifth download gets one when the first four are ended.
        assert server.get(EXPORT).status_code == 200
        assert wait_until(lambda: server.sessions() == 0, 2)


def test_connection_without_a_request_is_closed_however_slowly_its_headers_arrive(server: Server) -> None:
    half = "GET /healthz HTTP/1.1\r\nX-Slow: "
    after_response = "GET /healthz HTTP/1.1\r\nHost: api\r\nContent-Length: 1000\r\n\r\n"
    with many(request(server.port, text) for text in ("", "GET", half, after_response)) as clients:
        for client in clients:
            assert seconds_until_closed(client, drip=b"x" * 100) < 4
    assert server.get("/healthz").status_code == 200


def test_body_that_does_not_arrive_is_refused(server: Server) -> None:
    head = "POST /contacts HTTP/1.1\r\nHost: api\r\nContent-Length: 100\r\n\r\n{"
    with request(server.port, head) as client:
        answer = client.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"body: was not complete after 2 s" in answer


def test_slow_uploads_hold_no_connection_and_quick_ones_pass_them(server: Server) -> None:
    before = len(server.get("/imports?size=100").json())

    def states() -> list[str]:
        return [one["state"] for one in server.get("/imports?size=100").json()][before : before + 12]

    with many(request(server.port, UPLOAD) for _ in range(12)):
        assert wait_until(lambda: states() == ["reading"] * 12, 10)
        assert server.sessions() == 0
        for number in range(3):
            file = f"name,mailAddress\nQuick,quick{number}@example.com\n".encode()
            began = time.monotonic()
            done = httpx.post(f"http://{LOOPBACK}:{server.port}/contacts/imports", content=file, timeout=10)
            assert (done.status_code, done.json()["added"]) == (201, 1)
            assert time.monotonic() - began < 5
        time.sleep(6)  # longer than an import may go untouched
        assert states() == ["reading"] * 12
    assert wait_until(lambda: states() == ["failed"] * 12, 10)


HANGING_THREAD = "import crud_api.health.endpoints as e, time; e._database = lambda _: time.sleep(60)"
HANGING_LOOP = (
    "import crud_api.metrics as m, threading; lock = threading.Lock(); lock.acquire();"
    " m.Metrics.text = lambda _: lock.acquire()"
)


@pytest.mark.parametrize("hang", ["", HANGING_THREAD, HANGING_LOOP], ids=["client", "thread", "event loop"])
def test_sigterm_ends_the_process_within_its_bound_whatever_hangs(
    database: Database, tmp_path: Path, hang: str
) -> None:
    probe = "GET {} HTTP/1.1\r\nHost: api\r\n\r\n"
    with (
        serving(database, tmp_path, hang=hang) as server,
        begin_download(server.port, EXPORT),
        request(server.port, UPLOAD),
        request(server.port, probe.format("/readyz")),
        request(server.port, probe.format("/metrics")),
    ):
        time.sleep(0.5)  # until the requests hang
        server.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        server.process.wait(timeout=10)
        assert time.monotonic() - began < SHORT["crud_api.server.END_SECONDS"] + 2
        assert ("Thread 0x" in server.log.read_text()) == (hang == HANGING_LOOP)  # where it hung
