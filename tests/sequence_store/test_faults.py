"""Tests of whose fault a refusal is: every rule by its example, and the replies of many servers."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from sequence_store.domain.states import AttemptReason, Counted, Fault, Parks
from sequence_store.mail.faults import (
    Rule,
    Stage,
    judge,
    judge_returned,
    matching_rule,
    rules,
    sources,
)

CASES = [
    json.loads(line)
    for line in (Path(__file__).parent / "smtp_replies.jsonl").read_text().splitlines()
    if line
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['stage']} {case['reply'][:60]}")
def test_reply_is_the_fault_of_the_right_party(case: dict[str, Any]) -> None:
    verdict = judge(case["stage"], case["reply"])
    given = {verdict.fault.value, f"{verdict.fault}, for {'good' if verdict.permanent else 'now'}"}
    assert given & set(case["right"]), verdict
    assert not (case["dead"] and not verdict.suppresses), verdict
    assert not (case["never_suppress"] and verdict.suppresses), verdict


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.example[:60])
def test_rule_is_the_first_that_matches_its_example(rule: Rule) -> None:
    stage, _, reply = rule.example.partition(" ")
    assert matching_rule(Stage(stage), reply) is rule
    assert rule.source in sources()


@pytest.mark.parametrize(
    ("stage", "reply", "parks", "relayed"),
    [
        ("auth", "535 5.7.8 Username and Password not accepted.", "now", "now"),
        ("auth", "454 4.7.0 Too many login attempts", "no", "no"),
        ("dot", "550 5.4.5 Daily user sending limit exceeded", "now", "now"),
        ("dot", "454 Throttling failure: Daily message quota exceeded.", "now", "now"),
        ("dot", "554 Message rejected: Email address is not verified.", "now", "counts"),
        ("rcpt", "554 5.7.1 <x@example.com>: Relay access denied", "now", "counts"),
        ("rcpt", "454 4.7.1 <x@example.com>: Relay access denied", "no", "no"),
        ("rcpt", "550 Domain example.com has exceeded the max emails per hour (200/200)", "now", "now"),
        ("dot", "550 5.7.26 This mail is unauthenticated", "counts", "counts"),
        ("dot", "421 4.7.26 This mail is unauthenticated", "no", "no"),
        ("rcpt", "554 Client host [192.0.2.1] blocked using zen.spamhaus.org", "counts", "counts"),
        ("dot", "554 5.7.1 Spam message rejected", "counts", "counts"),
        ("rcpt", "550 5.1.1 User unknown", "no", "no"),
        ("rcpt", "550 no", "no", "no"),
        ("dot", "554 5.6.0 malformed", "no", "no"),
    ],
)
def test_only_a_fault_of_the_mailbox_parks_it(stage: str, reply: str, parks: str, relayed: str) -> None:
    assert judge(stage, reply).parks is Parks(parks)
    assert judge(stage, reply, relayed=True).parks is Parks(relayed)


@pytest.mark.parametrize(
    ("reply", "counted"),
    [
        ("550 5.0.0 go away", Counted.ADDRESS),
        ("550 5.4.1 Recipient address rejected: Access denied", Counted.ACCESS_DENIED),
        ("550 5.1.2 Host unknown", Counted.DOMAIN),
        ("556 5.1.10 Domain example.com does not accept mail (nullMX)", Counted.DOMAIN),
        ("450 not now", None),
        ("552 5.2.2 full", None),
        ("550 5.1.1 User unknown", None),
    ],
)
def test_refusal_that_is_no_evidence_alone_is_counted(reply: str, counted: Counted | None) -> None:
    assert judge("rcpt", reply).counted is counted


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize(
    "reply", ["450 4.1.1 User unknown", "421 5.1.1 User unknown", "450 Domain not found"]
)
def test_temporary_reply_is_never_for_good(stage: Stage, reply: str) -> None:
    verdict = judge(stage, reply)
    assert verdict.temporary
    assert not verdict.permanent
    assert not verdict.suppresses


@pytest.mark.parametrize(
    "reply", ["", "no number", "250 2.0.0 Ok", "354 go on", "999 x", "5", "55\u0660 5.1.1 x"]
)
def test_reply_that_is_no_refusal_blames_nobody(reply: str) -> None:
    verdict = judge("rcpt", reply)
    assert (verdict.fault, verdict.permanent, verdict.suppresses) == (Fault.CONNECTION, False, False)
    assert verdict.reason is AttemptReason.UNREADABLE_ANSWER


@pytest.mark.parametrize(
    ("status", "diagnostic", "fault", "permanent", "suppresses"),
    [
        ("5.0.0", "smtp; 550 No such user here", "recipient", True, True),
        ("5.0.0", "smtp; 550 mailbox is full", "recipient", False, False),
        (
            "5.1.1",
            "smtp; 550 5.1.1 <x@example.com>: Recipient address rejected: User unknown",
            "recipient",
            True,
            True,
        ),
        ("5.1.1", None, "recipient", True, True),
        ("5.0.0", None, "recipient", False, False),
        (
            "5.0.0",
            "X-Postfix; host mx.example.com[192.0.2.9] said: 554 no thanks (in reply to end of DATA command)",
            "message",
            True,
            False,
        ),
        (
            "5.4.4",
            (
                "X-Postfix; Host or domain name not found. "
                "Name service error for name=x.invalid type=A: Host not found"
            ),
            "domain",
            True,
            False,
        ),
        (
            "4.4.1",
            "X-Postfix; connect to mx.example.com[192.0.2.9]:25: Connection timed out",
            "domain",
            False,
            False,
        ),
        ("4.2.2", "smtp; 452 4.2.2 over quota", "recipient", False, False),
        ("5.7.1", "smtp; 550 5.7.1 Message rejected due to DMARC policy", "mailbox", True, False),
        (None, None, "recipient", False, False),
        (None, "gone with the wind", "recipient", False, False),
    ],
)
def test_returned_mail_is_judged_as_the_reply_that_it_quotes(
    status: str | None, diagnostic: str | None, fault: str, permanent: bool, suppresses: bool
) -> None:
    verdict = judge_returned(status, diagnostic)
    assert (verdict.fault.value, verdict.permanent, verdict.suppresses) == (fault, permanent, suppresses), (
        verdict
    )


@pytest.mark.parametrize(
    "text",
    ["user " * 20_000, "mailbox is " * 9_000, "\u0301" * 90_000, "quota" + "x" * 90_000, "5.1.1 " * 20_000],
)
def test_hostile_reply_is_judged_at_once(text: str) -> None:
    start = time.process_time()
    judge("rcpt", f"550 {text}")
    assert time.process_time() - start < 0.5
