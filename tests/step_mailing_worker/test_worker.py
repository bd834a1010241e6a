"""Tests of the worker's guarantees on real Postgres, SQS and SMTP."""

from __future__ import annotations

from datetime import timedelta
from email import message_from_bytes, policy
from typing import Any

import pytest

from local_stack.processes import wait_until
from sequence_store.mail.link_tokens import Link, LinkKind
from step_mailing_worker.smtp import SmtpConnection
from tests.conftest import SmtpSink
from tests.step_mailing_worker.conftest import Team

ADDRESS_HMAC = (
    "INSERT INTO suppressions (address_hmac, reason) SELECT address_hmac(mail_address, %s), 'x' FROM contacts"
)


def test_mail_goes_out_once_at_its_second_from_two_workers_that_were_each_told_twice(
    team: Team, smtp_sink: SmtpSink
) -> None:
    message = team.dispatch(due_in=2)
    team.publish(message, times=4)
    team.start(claim_lease_seconds=2)
    team.start(claim_lease_seconds=2)
    team.becomes(message, "sent")
    (mail,) = smtp_sink.wait_for(1)
    assert timedelta(0) <= mail.at - message.send_at < timedelta(seconds=1.5)
    assert team.handled()
    assert len(smtp_sink.mails) == 1
    assert team.results() == ["sent"]
    assert team.one("SELECT used FROM mailbox_days") == 1
    assert team.one("SELECT smtp_code, enhanced_code, smtp_reply FROM sends") == (
        250,
        "2.0.0",
        "2.0.0 accepted",
    )


def test_two_workers_that_race_for_many_sends_mail_each_once(team: Team, smtp_sink: SmtpSink) -> None:
    messages = [team.dispatch(team.contact()) for _ in range(40)]
    team.publish(*messages[:20], times=1)
    team.publish(*messages[20:], times=1)
    team.publish(*messages[:20], times=1)
    team.start(claim_lease_seconds=2)
    team.start(claim_lease_seconds=2, worker_concurrency=4)
    assert wait_until(lambda: team.one("SELECT bool_and(status = 'sent') FROM sends"), 20)
    assert team.handled()
    recipients = [mail.rcpt_to[0] for mail in smtp_sink.mails]
    assert len(recipients) == len(set(recipients)) == 40


def test_mail_says_who_sends_it_what_it_answers_and_what_it_is(team: Team, smtp_sink: SmtpSink) -> None:
    contact = team.contact("bob@people.example", name="Bob & Söhne")
    first = team.send(contact=contact)
    team.start()
    team.becomes(first, "sent")
    second = team.send(contact=contact, step=team.enter_step(2, None, "<p>Dear {{ contact.name }}</p>"))
    team.becomes(second, "sent")
    opening, follow_up = (message_from_bytes(m.data, policy=policy.default) for m in smtp_sink.wait_for(2))
    assert opening["From"] == "Ann Sender <ann@sender.example>"
    assert follow_up["Subject"] == opening["Subject"] == "Hello Bob & Söhne"
    assert follow_up["In-Reply-To"] == follow_up["References"] == opening["Message-ID"]
    assert follow_up["Date"].datetime == second.send_at
    assert follow_up.get_body(("plain",)).get_content().startswith("Dear Bob & Söhne\r\n")
    assert follow_up.get_body(("html",)).get_content().startswith("<p>Dear Bob &amp; Söhne</p>\r\n")


def test_mail_links_to_the_mailboxes_own_host_and_tracks_what_the_sequence_wants(
    team: Team, smtp_sink: SmtpSink
) -> None:
    step = team.enter_step(2, "Hi", "<a href='https://example.com/'>x</a>")
    first = team.send(step=step)
    team.start(public_url="https://mail.example/base/")
    team.becomes(first, "sent")
    team.run("UPDATE mailboxes SET tracking_host = 't.sender.example'")
    team.run("UPDATE sequences SET open_tracking_enabled = true, click_tracking_enabled = true")
    second = team.send(step=step)
    team.becomes(second, "sent")
    plain, tracked = (message_from_bytes(m.data, policy=policy.default) for m in smtp_sink.wait_for(2))
    signer = team.settings().link_signer
    for mail, send, base in (
        (plain, first, "https://mail.example/base"),
        (tracked, second, "https://t.sender.example"),
    ):
        url = f"{base}/u/{signer.sign(Link(LinkKind.UNSUBSCRIBE, send.key))}"
        assert mail["List-Unsubscribe"] == f"<{url}>"
        assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert mail.get_body(("html",)).get_content().count(url) == 1
    assert "/t/" not in str(plain)
    page = tracked.get_body(("html",)).get_content()
    for link in (
        Link(LinkKind.OPEN, second.key),
        Link(LinkKind.CLICK, second.key, 0, "https://example.com/"),
    ):
        assert f'"https://t.sender.example/t/{signer.sign(link)}"' in page


def test_follow_up_from_another_mailbox_keeps_the_subject_and_begins_a_new_thread(
    team: Team, smtp_sink: SmtpSink
) -> None:
    contact = team.contact()
    first = team.send(contact=contact)
    team.start()
    team.becomes(first, "sent")
    other = team.one(
        "INSERT INTO mailboxes (address, send_limit, send_start_time, send_end_time)"
        " VALUES ('cid@sender.example', 50, '00:00', '00:00') RETURNING id"
    )
    second = team.send(contact=contact, step=team.enter_step(2, None), mailbox_id=other)
    team.becomes(second, "sent")
    parsed = message_from_bytes(smtp_sink.wait_for(2)[1].data, policy=policy.default)
    assert parsed["Subject"] == "Hello Bob"
    assert parsed["In-Reply-To"] is None


def test_message_of_an_older_attempt_is_deleted_and_nothing_is_sent(team: Team, smtp_sink: SmtpSink) -> None:
    message = team.dispatch()
    team.run("UPDATE sends SET attempt = 2")
    team.publish(message)
    team.start()
    assert team.handled()
    assert team.row(message)[0] == "dispatched"
    assert (smtp_sink.mails, team.results()) == ([], [])


def test_message_of_an_unknown_send_is_deleted(team: Team) -> None:
    team.publish(team.dispatch().model_copy(update={"round": 9}))
    team.start()
    assert team.handled()
    assert team.results() == []


def test_early_message_is_hidden_until_its_minute(team: Team, smtp_sink: SmtpSink) -> None:
    message = team.send(due_in=600)
    team.start()
    assert wait_until(lambda: team.messages() == (0, 1), 10)
    assert team.row(message)[0] == "dispatched"
    assert smtp_sink.mails == []


def test_message_of_a_send_that_is_held_by_another_is_hidden_and_kept(
    team: Team, smtp_sink: SmtpSink
) -> None:
    message = team.dispatch()
    team.run(
        "UPDATE sends SET status = 'claimed', claim = gen_random_uuid(), lease_until = now() + interval '2 s'"
    )
    team.publish(message)
    team.start()
    team.becomes(message, "sent")  # after the lease has expired
    assert len(smtp_sink.wait_for(1)) == 1


def test_late_message_expires_its_send_and_says_so(team: Team, smtp_sink: SmtpSink) -> None:
    message = team.send(due_in=-100, lives=50)
    team.start()
    assert team.becomes(message, "expired") == "not_after"
    assert team.handled()
    assert (smtp_sink.mails, team.results()) == ([], ["expired"])


CLOSED_GATES = [
    ("UPDATE sequences_contacts SET status = 'unsubscribed'", "enrolment_unsubscribed"),
    ("UPDATE sequences_contacts SET status = 'paused'", "enrolment_paused"),
    ("UPDATE sequences_contacts SET status = 'replied'", "enrolment_replied"),
    ("UPDATE contacts SET is_active = false", "contact_inactive"),
    ("UPDATE mailboxes SET is_active = false", "mailbox_inactive"),
    ("UPDATE mailboxes SET parked_until = now() + interval '1 day'", "mailbox_parked"),
    ("UPDATE sequences SET is_active = false", "sequence_inactive"),
    ("UPDATE steps SET deleted_at = now()", "step_deleted"),
    ("SUPPRESS", "suppressed"),
    ("UPDATE mailboxes SET send_limit = 0", "limit_reached"),
    ("SELECT pause_all('a fault')", "all_paused"),
]


def _close_gate(team: Team, statement: str) -> None:
    if statement == "SUPPRESS":
        team.run(ADDRESS_HMAC, team.settings().address_pads)
    else:
        team.run(statement)


@pytest.mark.parametrize(("statement", "reason"), CLOSED_GATES, ids=[reason for _, reason in CLOSED_GATES])
def test_what_is_closed_after_dispatch_or_even_after_the_claim_is_never_sent(
    team: Team, smtp_sink: SmtpSink, monkeypatch: pytest.MonkeyPatch, statement: str, reason: str
) -> None:
    """One send is claimed before the change and reaches the gate before DATA; the other is claimed after."""
    claimed = team.send()
    later = team.dispatch()

    def close_after_rcpt(*_: object) -> str:
        _close_gate(team, statement)
        team.publish(later)
        return "250 2.1.5 ok"

    monkeypatch.setattr(smtp_sink, "replies", _Computed(close_after_rcpt))
    team.start(worker_concurrency=1)
    assert team.becomes(claimed, "cancelled") == reason
    assert team.becomes(later, "cancelled") == reason
    assert team.handled()
    assert smtp_sink.mails == []
    assert sorted(team.results() + team.results()) == ["cancelled", "cancelled"]
    assert team.one("SELECT coalesce(sum(used), 0)::int FROM mailbox_days") == 0


class _Computed(dict[str, str]):
    """Computes the reply to the first RCPT with a function."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self._answer = answer

    def get(self, key: str, default: Any = None) -> Any:
        if key != "RCPT" or not self._answer:
            return default
        answer, self._answer = self._answer, None
        return answer()


def test_limit_lets_no_mail_through_that_it_does_not_count(team: Team, smtp_sink: SmtpSink) -> None:
    team.run("UPDATE mailboxes SET send_limit = 3")
    team.publish(*[team.dispatch(team.contact()) for _ in range(8)])
    team.start()
    assert team.handled()
    assert len(smtp_sink.mails) == 3
    assert team.one("SELECT count(*) FROM sends WHERE reason = 'limit_reached'") == 5


def test_gap_of_a_moment_is_waited_for_and_a_longer_one_gets_a_later_place(
    team: Team, smtp_sink: SmtpSink
) -> None:
    team.run("UPDATE mailboxes SET min_gap_seconds = 2")
    team.publish(*[team.dispatch(team.contact()) for _ in range(2)])
    team.start()
    first, second = (mail.at for mail in smtp_sink.wait_for(2))
    assert second - first > timedelta(seconds=1.5)
    team.run("UPDATE mailboxes SET min_gap_seconds = 600")
    message = team.send()
    assert team.becomes(message, "planned") == "gap"
    assert team.row(message)[2] == 2
    assert team.handled()
    assert len(smtp_sink.mails) == 2


@pytest.mark.parametrize(
    ("change", "status", "enrolment", "reason"),
    [
        ("UPDATE steps SET mail_content = '{{ contact.nothing }}'", "cancelled", "paused", "template"),
        (
            "UPDATE contacts SET name = E'Bob\\r\\nBcc: eve@evil.example'",
            "cancelled",
            "paused",
            "contact name",
        ),
        (
            "UPDATE steps SET mail_subject = '=?utf-8?q?Hi=0ABcc=3A_e=40x=2Ecom?='",
            "cancelled",
            "paused",
            "subject",
        ),
        (
            "UPDATE contacts SET mail_address = 'a@b.example, c@d.example'",
            "hard_failed",
            "bounced",
            "contact address",
        ),
        ("UPDATE mailboxes SET display_name = E'A\\nB'", "cancelled", "active", "mailbox display name"),
    ],
    ids=["unknown_name", "line_in_name", "encoded_word", "two_addresses", "line_in_sender"],
)
def test_what_cannot_be_built_is_never_begun_and_costs_only_whose_fault_it_is(
    team: Team, smtp_sink: SmtpSink, change: str, status: str, enrolment: str, reason: str
) -> None:
    message = team.send()
    team.run(change)
    team.start()
    assert team.becomes(message, status).startswith(reason)
    assert team.handled()
    assert team.status_of(message.contact_id) == enrolment
    assert team.one("SELECT parked_until IS NOT NULL FROM mailboxes") == (enrolment == "active")
    assert smtp_sink.mails == []


def test_malformed_and_foreign_messages_are_dead_lettered_with_their_reason_and_their_neighbours_go_on(
    team: Team, smtp_sink: SmtpSink
) -> None:
    good = team.dispatch()
    foreign = team.dispatch().model_copy(update={"environment": "production"})
    team.publish_raw("no json", good.model_dump_json(exclude={"attempt"}), foreign.model_dump_json(), "{}")
    team.publish(good)
    team.start()
    team.becomes(good, "sent")
    assert team.handled()
    answer = team.queues.client.receive_message(
        QueueUrl=team.queues.sends.dead_letter_url, MaxNumberOfMessages=10, MessageAttributeNames=["reason"]
    )
    reasons = sorted(m["MessageAttributes"]["reason"]["StringValue"] for m in answer["Messages"])
    assert [reason.partition(":")[0] for reason in reasons] == [
        "attempt",
        "body",
        "environment",
        "sequence_id",
    ]
    assert len(smtp_sink.mails) == 1


def test_mail_says_what_its_template_says_at_the_claim(team: Team, smtp_sink: SmtpSink) -> None:
    message = team.dispatch()
    team.run("UPDATE steps SET mail_content = 'Corrected since, {{ contact.name }}'")
    team.publish(message)
    team.start()
    team.becomes(message, "sent")
    (mail,) = smtp_sink.wait_for(1)
    assert b"Corrected since, Bob" in mail.data


def test_worker_waits_for_a_queue_that_is_away_and_can_be_stopped_meanwhile(team: Team) -> None:
    worker = team.start(aws_endpoint_url_sqs="http://127.0.0.1:9")
    worker.stop()


def test_what_is_received_is_byte_for_byte_what_was_built(
    team: Team, smtp_sink: SmtpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Content with lines of dots, long lines and no final line end arrives unchanged."""
    built: list[bytes] = []
    connection = SmtpConnection.transfer

    async def kept(self: SmtpConnection, mail: Any) -> Any:
        built.append(mail.content)
        return await connection(self, mail)

    monkeypatch.setattr(SmtpConnection, "transfer", kept)
    content = ".\n..\n.hidden\n\n" + "ä" * 2000 + "\n<p>.\r\n.\r\n</p>" + "x" * 100_000 + "\n."
    message = team.send(step=team.enter_step(2, "Dots", content))
    team.start()
    team.becomes(message, "sent")
    assert [mail.data for mail in smtp_sink.wait_for(1)] == built
    assert b"\r\n." in built[0]
