"""Tests of the table of SMTP replies: outcome, fault and reason of each."""

from __future__ import annotations

import pytest

from sequence_store.domain.states import Fault, Outcome
from step_mailing_worker.smtp_replies import (
    LONGEST_BACKOFF,
    Phase,
    Reply,
    meaning_of,
    named_delay,
    provider_message_id,
    retry_delay,
    storable,
)

ROWS = """
connect 421 -       soft_failed connection   server_not_ready
connect 554 5.7.1   soft_failed connection   server_not_ready
ehlo    502 -       soft_failed connection   server_not_ready
tls     454 4.7.0   soft_failed connection   server_not_ready
auth    454 4.7.0   soft_failed mailbox      sign_in_deferred
auth    535 5.7.8   cancelled   mailbox      sign_in_refused
auth    535 -       cancelled   mailbox      sign_in_refused
auth    534 5.7.9   cancelled   mailbox      sign_in_refused
rcpt    550 5.1.1   hard_failed recipient    no_such_recipient
rcpt    550 5.1.2   expired     domain       refused_today
rcpt    501 5.1.3   expired     recipient    refused_today
rcpt    550 5.1.6   hard_failed recipient    no_such_recipient
rcpt    550 5.2.1   expired     recipient    refused_today
dot     550 5.1.1   hard_failed recipient    no_such_recipient
rcpt    550 -       expired     recipient    refused_today
rcpt    553 -       expired     recipient    refused_today
rcpt    550 5.4.1   expired     domain       refused_today
rcpt    550 5.7.133 hard_failed recipient    recipient_takes_no_strangers
rcpt    452 4.2.2   soft_failed recipient    mailbox_full
rcpt    552 5.2.2   expired     recipient    refused_today
rcpt    552 -       expired     recipient    refused_today
rcpt    450 4.2.1   soft_failed recipient    recipient_deferred
rcpt    450 -       soft_failed recipient    recipient_deferred
rcpt    451 4.4.3   soft_failed domain       domain_unreachable
rcpt    451 4.4.7   soft_failed domain       domain_unreachable
rcpt    421 -       soft_failed connection   server_closes
dot     421 4.3.2   soft_failed connection   server_closes
dot     452 4.3.1   soft_failed connection   server_deferred
mail    451 4.3.0   soft_failed connection   server_deferred
rcpt    503 5.5.1   soft_failed connection   protocol_refused
mail    550 5.4.5   cancelled   mailbox      daily_limit
rcpt    550 5.4.5   cancelled   mailbox      daily_limit
dot     550 5.4.5   cancelled   mailbox      daily_limit
dot     550 5.7.232 cancelled   mailbox      tenant_limit
dot     550 5.7.233 cancelled   mailbox      tenant_limit
dot     550 5.1.90  cancelled   mailbox      tenant_limit
mail    432 4.3.2   soft_failed mailbox      rate_limit
dot     421 4.7.0   soft_failed mailbox      rate_limit
rcpt    421 4.7.28  soft_failed mailbox      rate_limit
dot     550 5.7.26  expired     mailbox      refused_today
dot     550 5.7.515 expired     mailbox      refused_today
rcpt    554 5.7.1   expired     mailbox      refused_today
mail    550 5.7.30  cancelled   mailbox      password_sign_in_ended
mail    530 -       cancelled   mailbox      sign_in_needed
mail    550 5.1.8   cancelled   mailbox      sender_refused
mail    550 -       cancelled   mailbox      sender_refused
mail    552 -       cancelled   message      message_too_large
mail    552 5.3.4   cancelled   message      message_too_large
dot     552 5.3.4   cancelled   message      message_too_large
dot     552 -       cancelled   message      message_too_large
dot     554 5.6.0   cancelled   message      content_refused
dot     554 -       cancelled   message      content_refused
dot     550 -       cancelled   message      content_refused
data    554 -       cancelled   message      content_refused
dot     250 2.0.0   sent        -            accepted
dot     250 -       sent        -            accepted
dot     354 -       unknown     -            unreadable_answer
dot     -1  -       unknown     -            unreadable_answer
rcpt    -1  -       soft_failed connection   unreadable_answer
data    250 -       soft_failed connection   unreadable_answer
"""


@pytest.mark.parametrize("row", ROWS.strip().splitlines())
def test_answer_means(row: str) -> None:
    phase, code, enhanced, outcome, fault, reason = row.split()
    meaning = meaning_of(Reply(Phase(phase), int(code), "words" if enhanced == "-" else f"{enhanced} words"))
    assert meaning.outcome is Outcome(outcome)
    assert meaning.fault is (None if fault == "-" else Fault(fault))
    assert meaning.reason == reason


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("code", range(400, 600, 7))
def test_every_refusal_has_a_meaning_that_is_no_success(phase: Phase, code: int) -> None:
    assert meaning_of(Reply(phase, code, "")).outcome in {
        Outcome.SOFT_FAILED,
        Outcome.EXPIRED,
        Outcome.CANCELLED,
    }


def test_enhanced_code_that_contradicts_its_answer_is_none() -> None:
    assert Reply(Phase.RCPT, 450, "5.1.1 no").enhanced_code is None
    assert Reply(Phase.RCPT, 550, "\u0665.1.1 no").enhanced_code is None
    assert Reply(Phase.RCPT, 550, "5.1.1 no\n5.7.1 never").enhanced_code == "5.1.1"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("4.2.1 try again in 300 seconds", 300),
        ("Greylisted, please retry after 5 minutes", 300),
        ("try again in 2 hours", 7200),
        ("wait 90s", 90),
        ("retry in 00:04:59", 299),
        ("retry in 04:59", 299),
        ("try again in 90 days", None),
        ("try again in 999999 hours", 86_400),
        ("try again in 0 seconds", 1),
        ("try again later", None),
        ("4.2.1 in 2026", None),
    ],
)
def test_delay_is_what_the_server_names(text: str, seconds: float | None) -> None:
    assert named_delay(text) == seconds


def test_backoff_doubles_up_to_its_bound_and_a_named_delay_comes_first() -> None:
    assert [retry_delay("", first=300, attempt=n) for n in (1, 2, 3)] == [300, 600, 1200]
    assert retry_delay("", first=300, attempt=10_000) == LONGEST_BACKOFF
    assert retry_delay("try again in 10 minutes", first=300, attempt=5) == 600


def test_stored_answer_is_short_printable_and_scrubbed() -> None:
    text = (
        "550 \x1b[31m<bob@people.example>\r\n SMTP;jürgen@bücher.example \udcff\0 \u202eevil"
        + "x" * 1_000_000
    )
    stored = storable(text)
    assert len(stored) <= 300
    assert stored.isprintable()
    assert "@" not in stored
    assert stored.startswith("550 [31m<<address>> SMTP;<address>")


@pytest.mark.parametrize(
    ("text", "id_"),
    [
        ("2.0.0 Ok: queued as 4XYZ12abc", "4XYZ12abc"),
        ("Ok 0100018f-6f5c-4b1a-000000", "0100018f-6f5c-4b1a-000000"),
        ("2.0.0 OK  1716823456 d2e1a72fcca58-6f8fcbea8b4si4 - gsmtp", None),
        ("2.0.0 accepted", None),
        ("queued as <a.b@mta.example>", "a.b@mta.example"),
    ],
)
def test_accepting_server_may_name_its_id(text: str, id_: str | None) -> None:
    assert provider_message_id(text) == id_
