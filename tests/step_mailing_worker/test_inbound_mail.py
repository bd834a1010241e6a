"""Tests of the judgement of incoming mails: what kind it is, which send it concerns, what it says."""

from __future__ import annotations

import base64
import json
import time
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sequence_store.domain.messages import SendKey
from sequence_store.domain.states import MailKind
from sequence_store.settings import LOCAL_LINK_KEY
from step_mailing_worker.inbound_mail.automatic import is_automatic_subject
from step_mailing_worker.inbound_mail.opt_out import says_stop
from step_mailing_worker.inbound_mail.verdict import MailVerdict, judge_mail
from tests.step_mailing_worker.returned import complaint, id_of, mail, report

KEY = SendKey(1, 2, 3, 1)
SECRET = LOCAL_LINK_KEY.encode()
CASES = [
    json.loads(line) for line in (Path(__file__).parent / "inbound_mails.jsonl").read_text().splitlines()
]


def read(content: bytes, **values: Any) -> MailVerdict:
    return judge_mail(content, **({"own_address": "ann@sender.example", "secrets": [SECRET]} | values))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_mail_is_what_it_is(case: dict[str, Any]) -> None:
    verdict = read(case["mail"].replace("{ID}", id_of(KEY)).encode())
    assert (verdict.kind, verdict.why) == (case["kind"], verdict.why)
    if "until" in case:
        assert verdict.until == (date.fromisoformat(case["until"]) if case["until"] else None)
    if "{ID}" in case["mail"] and verdict.kind not in {"own", "none"}:
        assert verdict.send == KEY


def test_nearest_send_of_a_thread_is_the_one_that_is_answered() -> None:
    later = SendKey(1, 2, 4, 1)
    content = mail(KEY).replace(b"\r\n\r\n", f"\r\n {id_of(later)}\r\n\r\n".encode(), 1)
    assert read(content.replace(b"In-Reply-To", b"X-Nothing")).send == later


def test_identifier_in_upper_case_and_by_an_earlier_key_is_known() -> None:
    upper = mail(KEY).replace(id_of(KEY).encode(), id_of(KEY).upper().encode())
    assert read(upper).send == KEY
    assert read(mail(KEY), secrets=[b"new", SECRET]).send == KEY
    assert read(mail(KEY), secrets=[b"new"]).send is None


def test_returned_mail_in_base64_names_its_send() -> None:
    inner = base64.encodebytes(f"Message-ID: {id_of(KEY)}\r\nSubject: Hi\r\n\r\nHi\r\n".encode()).decode()
    part = f"Content-Transfer-Encoding: base64\n\n{inner}"
    content = report(KEY, returned="@").replace(
        b"text/rfc822-headers\r\n\r\n@", f"message/rfc822\r\n{part}".encode()
    )
    verdict = read(content)
    assert (verdict.kind, verdict.send) == ("hard_bounce", KEY)


@pytest.mark.parametrize(
    "forged",
    [
        mail(KEY).replace(id_of(KEY)[8:12].encode(), b"0000"),
        mail(KEY).replace(b"<1.2.3.1.", b"<1.2.4.1."),
    ],
)
def test_forged_name_of_a_send_is_none(forged: bytes) -> None:
    assert read(forged).send is None


def test_ticket_is_no_absence_and_somebody_who_left_is_told_apart() -> None:
    def said(subject: str, body: str) -> tuple[bool, bool]:
        verdict = read(mail(KEY, headers=f"Auto-Submitted: auto-replied\nSubject: {subject}\n", body=body))
        assert verdict.kind == "auto_reply"
        return verdict.away, verdict.left

    assert said("[Ticket 12345] Hello", "We have received your request.") == (False, False)
    assert said("Automatic reply: Hello", "I am out of the office.") == (True, False)
    assert said("Automatic reply: Hello", "Bob no longer works for People Inc.") == (False, True)
    assert said("Automatische Antwort: Hallo", "Bob ist nicht mehr im Unternehmen.") == (False, True)


def test_detail_holds_no_address_and_no_text() -> None:
    verdict = read(report(KEY))
    assert verdict.detail.items() >= {"status": "5.1.1", "code": "550", "suppresses": True}.items()
    assert "@" not in str(verdict.detail)
    assert read(complaint(KEY)).kind == "complaint"


def test_detail_says_what_follows_by_the_table_of_faults() -> None:
    refused = read(report(KEY, status="5.7.1", diagnostic="smtp; 550 5.7.1 DMARC policy"))
    assert (refused.kind, refused.detail["fault"], refused.detail["parks"]) == (
        "soft_bounce",
        "mailbox",
        "counts",
    )
    unknown = read(report(KEY, status="5.0.0", diagnostic="smtp; 550 go away"))
    assert (unknown.kind, unknown.detail["counted"]) == ("soft_bounce", "address")
    final = read(report(KEY, status="5.7.133", diagnostic="smtp; 550 5.7.133 SenderNotAuthenticatedForGroup"))
    assert (final.kind, final.detail["suppresses"]) == ("hard_bounce", False)


@pytest.mark.parametrize(
    ("action", "status", "diagnostic", "expected"),
    [
        ("failed", "5.0.0", "smtp; 550 5.1.1 no such user", "hard_bounce"),
        ("failed", "5.1.10", "smtp; 550 5.1.10 RESOLVER.ADR.RecipientNotFound", "hard_bounce"),
        ("failed", "5.0.0", "smtp; 550 No such user here", "hard_bounce"),
        (
            "failed",
            "5.0.0",
            (
                "X-Postfix; host mx.people.example[192.0.2.9] said: "
                "550 Unknown user (in reply to RCPT TO command)"
            ),
            "hard_bounce",
        ),
        ("failed", "5.1.1", "x-unix; user unknown", "hard_bounce"),
        ("failed", "5.0.0", "smtp; 550 mailbox is full", "soft_bounce"),
        ("failed", "5.0.0", "smtp; 554 Client host blocked using zen.spamhaus.org", "soft_bounce"),
        ("failed", "5.1.1", "smtp; 550 5.1.1 Sender address rejected: User unknown", "soft_bounce"),
        ("failed", "5.4.4", "X-Postfix; Host or domain name not found. Name service error", "soft_bounce"),
        ("failed", "5.2.2", "smtp; 552 5.2.2 over quota", "soft_bounce"),
        ("delayed", "4.4.1", "smtp; 451 4.4.1 later", "soft_bounce"),
        ("relayed", "2.1.5", "smtp; 250 2.1.5 Ok", "none"),
    ],
)
def test_report_is_judged_by_what_the_server_said(
    action: str, status: str, diagnostic: str, expected: str
) -> None:
    assert read(report(KEY, action=action, status=status, diagnostic=diagnostic)).kind == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Sorry, no mailbox here by that name. (#5.1.1)", "hard_bounce"),
        ("192.0.2.9 does not like recipient.\r\nRemote host said: 550 No such user here", "hard_bounce"),
        (
            "192.0.2.9 does not like recipient.\r\nRemote host said: 554 blocked by our spam filter",
            "soft_bounce",
        ),
        ("The account is over quota. (#5.2.2)", "soft_bounce"),
    ],
)
def test_notice_of_qmail_is_judged_by_what_it_quotes(text: str, expected: str) -> None:
    head = "From: MAILER-DAEMON@old.example\r\n\r\n<bob@people.example>:\r\n"
    assert read(f"{head}{text}\r\n\r\nMessage-ID: {id_of(KEY)}\r\n".encode()).kind == expected


@pytest.mark.parametrize("word", ["Automatic reply", "Out of Office", "自動応答", "Réponse automatique"])
def test_subject_is_automatic_only_at_its_start(word: str) -> None:
    assert is_automatic_subject(f"{word}: Hello")
    assert not is_automatic_subject(f"A question about: {word}")
    assert not is_automatic_subject(f"{word}s compared with yours")


def test_request_for_no_more_mail_asks_nothing_else() -> None:
    assert says_stop("Please unsubscribe me. I have no need of it.")
    assert not says_stop("Please unsubscribe me? Or send me the price list first, we are interested.")
    assert not says_stop("Unsubscribe me from the weekly news but keep the product news")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=2000))
def test_any_bytes_get_a_verdict(content: bytes) -> None:
    verdict = read(content)
    assert verdict.kind in MailKind
    assert verdict.send is None


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 1500))
def test_broken_report_never_names_another_send(noise: bytes, place: int) -> None:
    content = report(KEY)
    assert read(content[:place] + noise + content[place:]).send in {KEY, None}


@pytest.mark.parametrize(
    "hostile",
    [
        b"References: " + b"1.2.3.1.0 " * 50_000 + b"\r\n\r\n",
        b"Subject: =?utf-8?q?" + b"=" * 200_000 + b"?=\r\nReferences: x\r\n\r\n",
        b"Content-Type: multipart/report; boundary=b\r\n\r\n" + b"--b\r\n\r\n" * 30_000,
        b"From: MAILER-DAEMON@x\r\n\r\n" + b"Status: 5" * 30_000,
        b"From: MAILER-DAEMON@x\r\n\r\n" + b"550 " * 60_000,
        b"From: MAILER-DAEMON@x\r\n\r\n" + b"<a@b>: \n" * 30_000,
        b"From: a@b\r\n\r\n" + b"> unsubscribe\r\n" * 20_000,
        b"From: a@b\r\nSubject: Automatic reply\r\n\r\n" + b"until until 1 " * 20_000,
        b"From: a@b\r\n\r\n" + b"From: a@b Sent: x\r\n" * 15_000,
        b"Content-Type: message/rfc822\r\n\r\n" * 9_000,
        b"From: " + b"(" * 100_000 + b"\r\n\r\n",
        b"From: " + b'"' * 100_000 + b"<a@b>\r\n\r\nunsubscribe",
    ],
    ids=range(12),
)
def test_hostile_mail_costs_no_more_than_a_moment(hostile: bytes) -> None:
    began = time.process_time()
    read(hostile)
    assert time.process_time() - began < 3
