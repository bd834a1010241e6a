"""Tests of proxies: connections to this machine never use them, those to other hosts do.

The end-to-end test starts the whole stack behind dead proxies.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from local_stack.folder import StackFolder
from local_stack.ports import LOOPBACK
from local_stack.variables import program_environment
from sequence_cli.main import app
from sequence_store.loopback import DIRECT_MOUNTS, is_loopback, spare_loopback
from sequence_store.sqs import Queue, sqs_client
from tests.conftest import Queues

DEAD = {
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "ALL_PROXY": "socks5://127.0.0.1:9",
}


@pytest.fixture(params=["http", "socks5"])
def dead_proxies(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, proxy in DEAD.items():
        address = proxy if request.param == "http" else proxy.replace("http:", "socks5:")
        monkeypatch.setenv(name, address)
        monkeypatch.setenv(name.lower(), address)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")  # restored after the test


@pytest.fixture
def web() -> Iterator[tuple[str, list[bytes]]]:
    """A server that records requests and answers each with a CSV file; it is also a SOCKS 5 proxy."""
    requests: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        first = connection.recv(65_536)
        if first[:1] == b"\x05":
            connection.sendall(b"\x05\x00")
            requests.append(connection.recv(65_536))
            connection.sendall(b"\x05\x00\x00\x01" + socket.inet_aton(LOOPBACK) + struct.pack(">H", 80))
            first = connection.recv(65_536)
        requests.append(first)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: 5\r\n\r\nname\n")

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                answer(connection)

    with socket.create_server((LOOPBACK, 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"{LOOPBACK}:{listening.getsockname()[1]}", requests
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.usefixtures("dead_proxies")
@pytest.mark.parametrize("host", [LOOPBACK, "localhost"])
def test_api_on_this_machine_is_reached_directly(
    web: tuple[str, list[bytes]], tmp_path: Path, host: str
) -> None:
    file = tmp_path / "contacts.csv"
    url = "http://" + web[0].replace(LOOPBACK, host)
    done = CliRunner().invoke(app, ["contacts", "export", str(file), "--url", url])
    assert done.exit_code == 0, done.output
    assert file.read_text() == "name\n"
    assert web[1][0].startswith(b"GET /contacts/export HTTP/1.1")


@pytest.mark.usefixtures("dead_proxies")
def test_queues_on_this_machine_are_reached_directly(queues: Queues) -> None:
    client = sqs_client(queues.settings.worker)
    assert Queue.look_up(client, queues.settings.worker.sends_queue).depth() == 0
    client.close()


@pytest.mark.usefixtures("dead_proxies")
def test_any_library_in_a_command_or_a_program_of_the_stack_reaches_this_machine(
    web: tuple[str, list[bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "internal.example")
    programs = program_environment(StackFolder(tmp_path), {})
    spare_loopback(os.environ)
    for name in ("NO_PROXY", "no_proxy"):
        assert programs[name] == os.environ[name] == "internal.example,127.0.0.1,localhost,::1"
    with urllib.request.urlopen(f"http://{web[0]}/", timeout=10) as answer:
        assert answer.status == 200
    with httpx.Client(mounts=DIRECT_MOUNTS) as client:
        assert client.get(f"http://{web[0]}/").is_success


@pytest.mark.parametrize("scheme", ["http", "socks5"])
@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_api_on_another_machine_is_reached_through_the_proxy(
    web: tuple[str, list[bytes]], tmp_path: Path, scheme: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "")  # restored after the test
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv(name, f"{scheme}://{web[0]}")
    file = tmp_path / "contacts.csv"
    done = CliRunner().invoke(app, ["contacts", "export", str(file), "--url", "http://api.example"])
    assert done.exit_code == 0, done.output
    asked = b"".join(web[1])
    assert (b"GET http://api.example/contacts/export" if scheme == "http" else b"api.example") in asked


@pytest.mark.usefixtures("dead_proxies")
def test_dead_proxy_to_another_machine_is_one_line(tmp_path: Path) -> None:
    file = str(tmp_path / "contacts.csv")
    done = CliRunner().invoke(app, ["contacts", "export", file, "--url", "http://api.example"])
    assert done.exit_code == 2
    assert done.stderr.startswith("The API at http://api.example does not respond")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:8000/x", True),
        ("http://127.8.9.1", True),
        ("https://localhost/", True),
        ("http://LOCALHOST.:80", True),
        ("http://api.localhost:80", True),
        ("http://[::1]:8000", True),
        ("http://localhost.example", False),
        ("http://10.0.0.1", False),
        ("http://[::1", False),
        ("nonsense", False),
        ("", False),
    ],
)
def test_loopback_addresses_are_known(url: str, local: bool) -> None:
    assert is_loopback(url) is local
