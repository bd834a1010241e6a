"""Tests of the mail sink: SMTP, pages, JSON API, restart."""

from __future__ import annotations

import json
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from email import policy
from email.message import EmailMessage
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from local_stack.mail_store import INDEX, MailStore
from local_stack.ports import LOOPBACK, free_port
from local_stack.processes import end, launch, wait_ready
from local_stack.program import serves

EVIL = '<script>alert("1")</script>'


@dataclass
class Sink:
    folder: Path
    smtp_port: int
    port: int
    process: subprocess.Popen[bytes]

    def send(self, subject: str = "Hello", *, text: str = "Hello", html: str = "<p>Hello</p>") -> bytes:
        mail = EmailMessage(policy=policy.SMTP)
        mail["Subject"], mail["Message-ID"] = subject, "<1@sender.test>"
        mail.set_content(text)
        mail.add_alternative(html, subtype="html")
        with smtplib.SMTP(LOOPBACK, self.smtp_port) as client:
            client.sendmail("from@sender.test", ["one@rcpt.test", "two@rcpt.test"], bytes(mail))
        return bytes(mail)

    def get(self, path: str) -> tuple[int, str]:
        connection = HTTPConnection(LOOPBACK, self.port)
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.status, answer.read().decode()
        connection.close()
        return body

    def json(self, path: str) -> Any:
        return json.loads(self.get(path)[1])


def start(folder: Path) -> Sink:
    smtp_port, port = free_port(), free_port()
    command = [
        sys.executable,
        "-m",
        "local_stack.mail_sink",
        "--smtp-port",
        str(smtp_port),
        "--port",
        str(port),
    ]
    log = folder.with_suffix(".log")
    process = launch([*command, "--folder", str(folder)], log=log)
    wait_ready(process, serves(port, "/healthz"), log=log, seconds=30)
    return Sink(folder, smtp_port, port, process)


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[Sink]:
    sink = start(tmp_path / "mail")
    yield sink
    end(sink.process)


def test_message_is_kept_byte_by_byte_and_listed_as_json(sink: Sink) -> None:
    source = sink.send("Grüße")
    (listed,) = sink.json("/api/messages")
    assert listed["mail_from"] == "from@sender.test"
    assert listed["rcpt_to"] == ["one@rcpt.test", "two@rcpt.test"]
    assert listed["message_id"] == "<1@sender.test>"
    assert listed["subject"] == "Grüße"
    accepted = datetime.fromisoformat(listed["accepted_at"])
    assert accepted.utcoffset() is not None
    assert (sink.folder / "00000001.eml").read_bytes() == source
    whole = sink.json(f"/api/messages/{listed['id']}")
    assert whole["text"].strip() == "Hello"
    assert ["Subject", "Grüße"] in whole["headers"]


def test_content_of_a_mail_is_escaped(sink: Sink) -> None:
    sink.send(EVIL, text=EVIL, html=EVIL + '"></iframe>')
    for path in ("/", f"/?search={quote(EVIL)}", f"/?search={quote('none' + EVIL)}", "/messages/1"):
        status, page = sink.get(path)
        assert status == 200
        assert "<script" not in page
        assert "&lt;script&gt;" in page
        assert page.count("</iframe>") == page.count("<iframe")


def test_html_is_shown_in_a_frame_without_scripts(sink: Sink) -> None:
    sink.send(html="<p>Hello</p>")
    page = sink.get("/messages/1")[1]
    assert "allow-scripts" not in page
    assert "allow-same-origin" not in page
    assert '<iframe sandbox="' in page


def test_search_finds_sender_recipient_and_subject(sink: Sink) -> None:
    sink.send("Spring offer")
    sink.send("Autumn offer")
    assert [mail["subject"] for mail in sink.json("/api/messages?search=SPRING")] == ["Spring offer"]
    assert len(sink.json("/api/messages?search=two@rcpt")) == 2
    assert sink.json("/api/messages?search=nobody") == []
    assert len(sink.json("/api/messages?limit=1")) == 1


def test_messages_survive_a_restart_and_numbers_go_on(sink: Sink) -> None:
    sink.send("First")
    end(sink.process)
    again = start(sink.folder)
    try:
        again.send("Second")
        assert [(m["id"], m["subject"]) for m in again.json("/api/messages")] == [(2, "Second"), (1, "First")]
    finally:
        end(again.process)


def test_truncated_index_line_is_skipped(tmp_path: Path) -> None:
    store = MailStore(tmp_path)
    store.add("a@a.test", ["b@b.test"], b"Subject: one\r\n\r\n")
    store.close()
    with (tmp_path / INDEX).open("a") as index:
        index.write('{"id": 2, "acc')
    store = MailStore(tmp_path)
    assert [entry.subject for entry in store.find()] == ["one"]
    store.close()


def test_unknown_message_is_404(sink: Sink) -> None:
    assert sink.get("/messages/7")[0] == 404
    assert sink.get("/api/messages/7")[0] == 404
