"""Tests of commands with wrong paths, URLs and servers: one line, exit status 2, no wait for ever."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

from local_stack.ports import LOOPBACK
from sequence_cli.main import app
from tests.conftest import NOWHERE, Database

ROLES = ("", "API_", "PIPELINE_", "WORKER_", "READONLY_")
OF_DATABASE = [
    "migrate",
    "sample-data",
    "why ada@example.com",
    "plan --dry-run",
    "forecast",
    "archive --older-than 400d",
    "verify",
    "sends list",
    "keys list",
    "mailbox check ada@example.com",
    "mailbox rotate-secrets",
    "restore-guard --since 2026-01-01T00:00:00+00:00 --no-queue",
    "inbox --once",
    "stats",
]
PAGE = b"<!doctype html><p>Welcome</p>"


@dataclass(frozen=True)
class Result:
    """Exit status and output of a command."""

    status: int
    stdout: str
    stderr: str


def run(command: str, *arguments: str) -> Result:
    """Run a command as the program does, in this process."""
    with redirect_stdout(StringIO()) as stdout, redirect_stderr(StringIO()) as stderr:
        try:
            app([*command.split(), *arguments])
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
    return Result(status, stdout.getvalue(), stderr.getvalue())


def assert_one_line(result: Result, *texts: str) -> None:
    assert (result.status, result.stdout) == (2, ""), result
    assert result.stderr.count("\n") == 1, result.stderr
    for text in texts:
        assert text in result.stderr


@contextmanager
def server(answer: bytes, *, breaks_off: bool = True) -> Iterator[str]:
    """Answer each request with these bytes, then close the connection or leave it open without a word."""
    opened: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            opened.append(connection)
            received = b""
            while not received.endswith((b"\r\n\r\n", b"0\r\n\r\n", b"}")) and (
                part := connection.recv(65_536)
            ):
                received += part
            connection.sendall(answer)
            if breaks_off:
                connection.close()

    with socket.create_server((LOOPBACK, 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://{LOOPBACK}:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in opened:
                connection.close()


def response(status: str, body: bytes, kind: str = "text/html", length: int | None = None) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length or len(body)}\r\n\r\n"
    return head.encode() + body


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    file = tmp_path / "contacts.csv"
    file.write_text("name,mailAddress\nAda,ada@example.com\n")
    return file


@pytest.fixture
def wrong_database(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    for role in ROLES:
        monkeypatch.setenv(f"{role}DATABASE_URL", request.param)
    return str(request.param)


@pytest.mark.parametrize("command", OF_DATABASE)
@pytest.mark.parametrize(
    "wrong_database",
    [
        "nonsense",
        "http://127.0.0.1:9/x",
        "postgresql://a:b@127.0.0.1:nine/x",
        "postgresql://a:b@127.0.0.1:9/x",
    ],
    indirect=True,
)
def test_wrong_database_url_is_one_line(command: str, wrong_database: str) -> None:
    assert_one_line(run(command))


@pytest.mark.parametrize("command", ["verify", "sends list", "keys list", "why ada@example.com"])
def test_database_without_the_schema_is_one_line(
    command: str, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for role in ROLES:
        monkeypatch.setenv(f"{role}DATABASE_URL", empty_database)
    assert_one_line(run(command), "sequences migrate")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("API_URL", "status"),
        ("DAGSTER_URL", "status"),
        ("AWS_ENDPOINT_URL_SQS", "status"),
        ("VALKEY_URL", "plan --dry-run"),
        ("AWS_ENDPOINT_URL_SQS", "restore-guard --since 2026-01-01T00:00:00+00:00"),
    ],
)
@pytest.mark.parametrize("url", ["nonsense", "127.0.0.1:8000", "ftp://127.0.0.1", "http://"])
def test_wrong_url_of_a_server_is_one_line(
    name: str, command: str, url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for role in ROLES:
        monkeypatch.setenv(f"{role}DATABASE_URL", database.owner)
    monkeypatch.setenv(name, url)
    assert_one_line(run(command), name)


@pytest.mark.parametrize("command", ["import", "export"])
@pytest.mark.parametrize(
    "url", ["nonsense", "http://", "ftp://127.0.0.1", "http://[::1", "http://127.0.0.1:99999", NOWHERE]
)
def test_wrong_url_of_the_api_is_one_line(command: str, url: str, csv: Path) -> None:
    assert_one_line(run(f"contacts {command}", str(csv), "--url", url), "Check --url or API_URL")


def test_unusable_key_is_one_line(csv: Path) -> None:
    assert_one_line(run("contacts export", str(csv), "--url", NOWHERE, "--key", "schlüssel"))
    assert_one_line(run("contacts export", str(csv), "--url", NOWHERE, "--key", "two\nlines"))


@pytest.mark.parametrize("command", ["import", "export"])
@pytest.mark.parametrize(
    "answer",
    [
        response("200 OK", PAGE),
        response("201 Created", b"[]", "application/json"),
        response("200 OK", b'{"id": 1}', "application/json"),
        response("404 Not Found", PAGE),
        response("502 Bad Gateway", b'{"detail": 1}', "application/json"),
        b"HTTP/1.1 302 Found\r\nLocation: https://elsewhere.example/\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"",
        response("200 OK", b"name,mailAddr", "text/csv", length=10_000),
        b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nname\r\n",
    ],
)
def test_answer_of_another_server_or_broken_off_is_one_line(command: str, answer: bytes, csv: Path) -> None:
    before = csv.read_text()
    with server(answer) as url:
        assert_one_line(run(f"contacts {command}", str(csv), "--url", url), url)
    assert csv.read_text() == before
    assert list(csv.parent.iterdir()) == [csv]


@pytest.mark.parametrize("command", ["import", "export"])
def test_silent_server_is_left_after_the_timeout(
    command: str, csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bound in ("IMPORT_SECONDS", "DOWNLOAD_SECONDS"):
        monkeypatch.setattr(f"sequence_cli.contacts.{bound}", 0.3)
    half = b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: 99\r\n\r\nname"
    for answer in (b"", half):
        with server(answer, breaks_off=False) as url:
            assert_one_line(run(f"contacts {command}", str(csv), "--url", url), "did not answer within")


@pytest.mark.parametrize(
    "answer", [response("200 OK", PAGE), response("200 OK", b"[1]", "application/json"), b"", b"SMTP\r\n"]
)
def test_status_reports_a_server_that_is_another_one(
    answer: bytes, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("READONLY_DATABASE_URL", database.readonly)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", NOWHERE)
    with server(answer) as url:
        monkeypatch.setenv("API_URL", url)
        monkeypatch.setenv("DAGSTER_URL", url)
        shown = run("status")
    assert shown.status == 1
    assert shown.stderr == ""
    assert "dagster" in shown.stdout.lower()


def test_paths_that_do_not_exist_are_one_line(tmp_path: Path, csv: Path, database: Database) -> None:
    absent = str(tmp_path / "absent" / "file")
    assert_one_line(run("contacts import", absent), "absent/file", "does not exist", "--help")
    assert_one_line(run("contacts import", str(csv), "--report", absent), "does not exist")
    assert_one_line(run("contacts export", absent, "--url", NOWHERE), "does not exist")
    assert_one_line(run("contacts export", str(tmp_path)), "is a directory")
    assert_one_line(run("restore-guard --since 2026-01-01T00:00:00+00:00 --sent", absent), "does not exist")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", database.owner)
        assert_one_line(run("sample-data --folder", absent), "does not exist")
        assert_one_line(run("sample-data --folder", str(csv)), "contacts.csv")


def test_sample_file_with_other_columns_or_bytes_is_one_line(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sequence_cli.sample_loader import FILES

    monkeypatch.setenv("DATABASE_URL", database.owner)
    for name in FILES:
        (tmp_path / f"{name}.csv").write_text("Other\n1\n")
    assert_one_line(run("sample-data --folder", str(tmp_path)), "sequences.csv", "Sequence")
    (tmp_path / "sequences.csv").write_bytes(b"\xff\xfe")
    assert_one_line(run("sample-data --folder", str(tmp_path)), "UTF-8")


def test_folder_that_was_removed_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "removed"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    assert_one_line(run("status"))


def test_port_of_the_metrics_that_is_taken_is_one_line(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("READONLY_DATABASE_URL", database.readonly)
    with socket.create_server((LOOPBACK, 0)) as taken:
        monkeypatch.setenv("METRICS_PORT", str(taken.getsockname()[1]))
        assert_one_line(run("metrics"), "in use")
