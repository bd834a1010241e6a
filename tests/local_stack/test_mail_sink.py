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
from playwright.sync_api import expect

from local_stack.mail_store import INDEX, MailStore
from local_stack.ports import LOOPBACK, free_port
from local_stack.processes import end, launch, wait_ready
from local_stack.program import serves
from tests.end_to_end import browsing

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


@pytest.mark.skipif(browsing.CHROMIUM is None, reason="Chromium is missing: apt-get install chromium")
@pytest.mark.parametrize("width", [320, 420, 640, 1280])
def test_pages_fit_a_narrow_window_and_cut_nothing_off(sink: Sink, width: int) -> None:
    subject = "A subject that is longer than a telephone is wide, " * 2 + "w" * 90
    sink.send(subject, text="x" * 300)
    sink.send("Short")
    with browsing.browsing() as page:
        page.set_viewport_size({"width": width, "height": 800})
        page.goto(f"http://{LOOPBACK}:{sink.port}/")
        fits = "document.scrollingElement.scrollWidth <= window.innerWidth"
        assert page.evaluate(fits)
        search = page.get_by_label("Search")
        box = search.bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        if width <= 640:
            cut = "[...document.querySelectorAll('td')].filter(e => e.scrollWidth > e.clientWidth + 1).length"
            assert page.evaluate(cut) == 0
            assert box["width"] > width * 0.8
            link = page.get_by_role("link", name="Short").bounding_box()
            assert link
            assert link["height"] >= 32, "a finger can hit it"
        expect(page.get_by_text("one@rcpt.test").first).to_be_visible()
        page.get_by_role("link", name="A subject that").click()
        expect(page.get_by_text("from@sender.test").first).to_be_visible()
        page.get_by_text("Headers").click()
        page.get_by_text("Source").click()
        assert page.evaluate(fits)
        page.get_by_label("Search").fill("Short")
        page.keyboard.press("Enter")
        expect(page.get_by_role("link", name="Short")).to_be_visible()
        expect(page.get_by_role("link", name="A subject that")).to_have_count(0)
