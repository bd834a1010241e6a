"""Tests of the classification of incoming mails."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sequence_store.domain.messages import SendKey
from sequence_store.domain.states import FeedbackKind
from sequence_store.settings import LOCAL_ADDRESS_KEY
from step_mailing_worker.inbound_mail import Feedback, feedback_of
from tests.step_mailing_worker.returned import complaint, id_of, mail, report

KEY = SendKey(1, 2, 3, 1)
SECRET = LOCAL_ADDRESS_KEY.encode()


def read(content: bytes) -> Feedback | None:
    return feedback_of(content, own_address="ann@sender.example", secret=SECRET)


def kind(content: bytes) -> Any:
    feedback = read(content)
    assert feedback is None or feedback.key == KEY
    return feedback and feedback.kind.value


def test_reply_names_the_send_that_it_answers() -> None:
    assert kind(mail(KEY)) == "reply"
    assert kind(mail(KEY).replace(b"In-Reply-To", b"X-Nothing")) == "reply"
    assert kind(mail(KEY).replace(b"References", b"X-Nothing")) == "reply"


def test_nearest_send_of_a_thread_is_the_one_that_is_answered() -> None:
    later = SendKey(1, 2, 4, 1)
    content = mail(KEY).replace(b"\r\n\r\n", f"\r\n {id_of(later)}\r\n\r\n".encode(), 1)
    content = content.replace(b"In-Reply-To", b"X-Nothing")
    feedback = read(content)
    assert feedback is not None
    assert feedback.key == later


@pytest.mark.parametrize(
    "headers",
    [
        "Auto-Submitted: auto-replied\n",
        "Auto-Submitted: auto-generated (out of office)\n",
        "X-Autoreply: yes\n",
        "X-Autorespond: Hello\n",
        "Precedence: auto_reply\n",
        "Return-Path: <>\n",
        "Subject: Automatic reply: Hello\n",
        "Subject: Out of Office: Hello\n",
        "Subject: =?utf-8?q?R=C3=A9ponse_automatique=3A_Hello?=\n",
        "Subject: Abwesenheitsnotiz: Hello\n",
        'Content-Type: multipart/report; report-type=disposition-notification; boundary="x"\n',
    ],
)
def test_answer_of_a_program_is_no_reply(headers: str) -> None:
    assert kind(mail(KEY, headers=headers)) == "auto_reply"


@pytest.mark.parametrize(
    "headers", ["Auto-Submitted: no\n", "Subject: I am out of the office next week\n", "Precedence: first\n"]
)
def test_answer_of_a_person_is_one_whatever_it_says(headers: str) -> None:
    assert kind(mail(KEY, headers=headers)) == "reply"


def test_our_own_mail_in_the_inbox_is_no_reply() -> None:
    assert read(mail(KEY, sender="Ann@sender.example")) is None


@pytest.mark.parametrize(
    "forged",
    [
        mail(KEY).replace(id_of(KEY)[8:12].encode(), b"0000"),
        mail(KEY).replace(b"<1.2.3.1.", b"<1.2.4.1."),
        b"Subject: Hello\r\n\r\nno references\r\n",
        b"",
    ],
)
def test_mail_that_names_no_send_of_ours_means_nothing(forged: bytes) -> None:
    assert read(forged) is None


@pytest.mark.parametrize(
    ("action", "status", "diagnostic", "expected"),
    [
        ("failed", "5.1.1", "smtp; 550 5.1.1 no such user", "bounce"),
        ("failed", "5.0.0", "smtp; 550 5.1.1 no such user", "bounce"),
        ("failed", "5.1.10", "smtp; 550 5.1.10 RESOLVER.ADR.RecipientNotFound", "bounce"),
        ("failed", "5.2.1", "smtp; 550 5.2.1 disabled", "bounce"),
        ("failed", "5.0.0", "smtp; 550 No such user here", "bounce"),
        (
            "failed",
            "5.0.0",
            (
                "X-Postfix; host mx.people.example[192.0.2.9] said: 550 Unknown user"
                " (in reply to RCPT TO command)"
            ),
            "bounce",
        ),
        ("failed", "5.1.1", "x-unix; user unknown", "bounce"),
        ("failed", "5.0.0", "smtp; 550 mailbox is full", "soft_bounce"),
        ("failed", "5.0.0", "smtp; 550 go away", "soft_bounce"),
        ("failed", "5.0.0", "smtp; 554 Client host blocked using zen.spamhaus.org", "soft_bounce"),
        ("failed", "5.1.1", "smtp; 550 5.1.1 Sender address rejected: User unknown", "soft_bounce"),
        ("failed", "5.4.4", "X-Postfix; Host or domain name not found. Name service error", "soft_bounce"),
        ("failed", "5.2.2", "smtp; 552 5.2.2 over quota", "soft_bounce"),
        ("failed", "4.4.7", "smtp; 450 4.2.0 try later", "soft_bounce"),
        ("failed", "5.7.1", "smtp; 550 5.7.1 blocked for spam", "soft_bounce"),
        ("failed", "5.4.5", "smtp; 550 5.4.5 daily limit", "soft_bounce"),
        ("failed", "5.3.4", "smtp; 552 5.3.4 too large", "soft_bounce"),
        ("delayed", "4.4.1", "smtp; 451 4.4.1 no answer", "soft_bounce"),
        ("delivered", "2.0.0", "smtp; 250 ok", "delivery"),
    ],
)
def test_bounce_costs_only_whose_fault_it_is(
    action: str, status: str, diagnostic: str, expected: str
) -> None:
    assert kind(report(KEY, action=action, status=status, diagnostic=diagnostic)) == expected


def test_bounce_of_a_server_that_keeps_to_no_standard_is_understood() -> None:
    text = f"Your message could not be delivered: 550 5.1.1 unknown user.\r\n\r\nMessage-ID: {id_of(KEY)}\r\n"
    head = "From: MAILER-DAEMON@old.example\r\nSubject: failure notice\r\n\r\n"
    assert kind((head + text).encode()) == "bounce"
    assert kind((head + text.replace("550 5.1.1", "sorry")).encode()) == "soft_bounce"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Sorry, no mailbox here by that name. (#5.1.1)", "bounce"),
        ("192.0.2.9 does not like recipient.\r\nRemote host said: 550 No such user here", "bounce"),
        (
            "192.0.2.9 does not like recipient.\r\nRemote host said: 554 blocked by our spam filter",
            "soft_bounce",
        ),
        ("The account is over quota. (#5.2.2)", "soft_bounce"),
    ],
)
def test_notice_of_qmail_is_judged_by_what_it_quotes(text: str, expected: str) -> None:
    head = "From: MAILER-DAEMON@old.example\r\n\r\n<bob@people.example>:\r\n"
    assert kind(f"{head}{text}\r\n\r\nMessage-ID: {id_of(KEY)}\r\n".encode()) == expected


def test_verdict_is_in_the_detail_for_the_database() -> None:
    feedback = read(report(KEY, status="5.7.1", diagnostic="smtp; 550 5.7.1 DMARC policy"))
    assert feedback is not None
    assert feedback.detail["parks"] == "counts"
    assert feedback.detail["fault"] == "mailbox"


def test_complaint_is_one() -> None:
    assert kind(complaint(KEY)) == "complaint"


def test_detail_tells_mails_apart_and_holds_no_address() -> None:
    first, second = read(report(KEY)), read(report(KEY, status="5.1.2"))
    assert first is not None
    assert second is not None
    assert first.detail["mail"] != second.detail["mail"]
    assert first == read(report(KEY))
    assert first.detail["status"] == "5.1.1"
    assert "@" not in str(first.detail)


@given(st.binary(max_size=2000))
def test_any_bytes_can_be_read(content: bytes) -> None:
    assert read(content) is None


@given(st.binary(max_size=200), st.integers(0, 1500))
def test_broken_report_is_read_or_left(noise: bytes, place: int) -> None:
    content = report(KEY)
    feedback = read(content[:place] + noise + content[place:])
    assert feedback is None or feedback.kind in FeedbackKind


@pytest.mark.parametrize(
    "hostile",
    [
        b"References: " + b"1.2.3.1.0 " * 50_000 + b"\r\n\r\n",
        b"Subject: =?utf-8?q?" + b"=" * 200_000 + b"?=\r\nReferences: x\r\n\r\n",
        b"Content-Type: multipart/report; boundary=b\r\n\r\n" + b"--b\r\n\r\n" * 30_000,
        b"From: MAILER-DAEMON@x\r\n\r\n" + b"Status: 5" * 30_000,
    ],
)
def test_hostile_mail_costs_no_more_than_a_moment(hostile: bytes) -> None:
    began = time.perf_counter()
    assert read(hostile) is None
    assert time.perf_counter() - began < 3
