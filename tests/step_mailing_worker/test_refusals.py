"""Tests of what refusals cost: the send's day, the enrolment, the address, or the mailbox."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import pytest
from psycopg.types.json import Jsonb

from sequence_store.domain.messages import SendMessage
from sequence_store.mail.faults import Verdict, judge, judge_returned
from tests.step_mailing_worker.conftest import Team
from tests.step_mailing_worker.scripted_smtp import ScriptedSmtp

TODAY = date(2026, 6, 15)
UNKNOWN = "550 5.0.0 go away"
DENIED = "550 5.4.1 Recipient address rejected: Access denied"
NO_DOMAIN = "550 5.1.2 Host unknown"


@pytest.fixture
def server(team: Team, scripted: ScriptedSmtp) -> ScriptedSmtp:
    team.smtp["smtp_port"] = scripted.port
    return scripted


def finish(team: Team, contact: int, day: date, outcome: str, verdict: Verdict | None = None) -> SendMessage:
    """Insert a send of this date and finish it, as the holder of its claim does."""
    claim, step = uuid4(), team.enter_step(team.one("SELECT max(step_number) + 1 FROM steps"))
    message = team.dispatch(
        contact, step=step, status="transmitting", claim=claim, transmitting_at=day, send_day=day
    )
    team.run(
        "SELECT finish_attempt(%s, %s, %s, 1, %s, %s, %s, 'refused_today', %s, %s, %s, %s, 550, NULL, NULL,"
        " NULL, '0', '1 hour', %s)",
        message.sequence_id, contact, step, claim, outcome,
        verdict and verdict.fault.value, verdict and verdict.reason.value,
        bool(verdict and verdict.suppresses), verdict.parks.value if verdict else "no",
        verdict.counted.value if verdict and verdict.counted else None,
        team.settings().address_pads,
    )  # fmt: skip
    return message


def refuse(team: Team, contact: int, day: int, reply: str = UNKNOWN) -> str:
    """Refuse a mail on the day with this number; return the status and reason of its row."""
    message = finish(team, contact, TODAY + timedelta(days=day), "expired", judge("rcpt", reply))
    status, reason, _ = team.row(message)
    return f"{status} {reason}"


def enrol_elsewhere(team: Team, contact: int) -> None:
    """Make a new sequence the team's, and enrol the contact in it."""
    name = f"sequence {next(team.numbers)}"
    team.sequence = team.one("INSERT INTO sequences (sequence_name) VALUES (%s) RETURNING id", name)
    team.run(
        "INSERT INTO sequences_contacts (sequence_id, contact_id, next_send) VALUES (%s, %s, current_date)",
        team.sequence,
        contact,
    )


def suppressed(team: Team, address: str) -> Any:
    """Return the reason of the address's suppression and its length in days (None: no end)."""
    row = team.connection.execute(
        "SELECT reason, round(extract(epoch FROM until - at) / 86400) FROM suppressions"
        " WHERE address_hmac = address_hmac(%s, %s)",
        (address, team.settings().address_pads),
    ).fetchone()
    return row and (row[0], int(row[1]) if row[1] is not None else None)


def test_unknown_refusal_ends_the_day_and_costs_the_contact_nothing(team: Team, server: ScriptedSmtp) -> None:
    server.script["RCPT"] = UNKNOWN
    team.start()
    message = team.send()
    assert team.becomes(message, "expired") == "refused_today"
    assert team.status_of(message.contact_id) == "active"
    assert team.one("SELECT next_send = current_date FROM sequences_contacts")
    assert team.one("SELECT count(*) FROM suppressions") == 0
    assert team.one("SELECT smtp_code, smtp_reply FROM sends") == (550, "5.0.0 go away")
    assert team.one("SELECT detail->>'reason' FROM send_events") == "recipient_refused"
    assert team.handled()
    assert team.results() == ["expired"]


LIVING = [
    ("RCPT", "552 5.2.2 mailbox full"),
    ("RCPT", "550 5.2.1 receiving mail at a rate that prevents additional messages"),
    ("dot", "550 5.7.26 blocked because the sender is unauthenticated"),
    ("dot", "550 5.7.1 Message content rejected, UBE"),
    ("RCPT", "554 Client host [192.0.2.1] blocked using zen.spamhaus.org"),
    ("RCPT", "550 5.4.316 Message expired, connection refused"),
]


def test_living_address_is_not_suppressed_and_its_enrolment_goes_on(team: Team, server: ScriptedSmtp) -> None:
    team.start(worker_concurrency=1)
    for stage, reply in LIVING:
        server.script = {stage: reply}
        message = team.send()
        assert team.becomes(message, "expired") == "refused_today", reply
        assert team.status_of(message.contact_id) == "active", reply
    assert team.one("SELECT count(*) FROM suppressions") == 0
    assert team.one("SELECT count(*) FROM reputation_events") == 0
    assert team.one("SELECT used FROM mailbox_days") == 0
    assert parked(team) is None


def test_refusal_of_the_recipient_for_another_cause_than_death_ends_the_enrolment_alone(
    team: Team, server: ScriptedSmtp
) -> None:
    server.script["RCPT"] = "550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup"
    team.start()
    message = team.send()
    assert team.becomes(message, "hard_failed") == "recipient_takes_no_strangers"
    assert team.status_of(message.contact_id) == "bounced"
    assert team.one("SELECT count(*) FROM suppressions") == 0


def test_third_date_of_an_unknown_refusal_ends_the_enrolment_and_suppresses_nothing(team: Team) -> None:
    contact = team.contact("bob@people.example")
    assert refuse(team, contact, 0) == "expired refused_today"
    assert refuse(team, contact, 0) == "expired refused_today"
    assert refuse(team, contact, 1) == "expired refused_today"
    assert team.status_of(contact) == "active"
    assert refuse(team, contact, 4) == "hard_failed soft_failures"
    assert team.status_of(contact) == "bounced"
    assert suppressed(team, "bob@people.example") is None


def test_refusals_are_counted_over_all_sequences_of_an_address(team: Team) -> None:
    first = team.contact("bob@people.example")
    refuse(team, first, 0)
    refuse(team, first, 1)
    enrol_elsewhere(team, first)
    assert refuse(team, first, 2) == "hard_failed soft_failures"


def test_accepted_mail_starts_the_count_anew(team: Team) -> None:
    contact = team.contact("bob@people.example")
    refuse(team, contact, 0)
    refuse(team, contact, 1)
    finish(team, contact, TODAY + timedelta(days=2), "sent")
    assert refuse(team, contact, 3) == "expired refused_today"
    assert refuse(team, contact, 4) == "expired refused_today"
    assert refuse(team, contact, 5) == "hard_failed soft_failures"


def test_each_further_ending_suppresses_twice_as_long(team: Team) -> None:
    lengths, contact = [], team.contact("bob@people.example")
    for n in range(4):
        enrol_elsewhere(team, contact)
        for day in range(3):
            refuse(team, contact, 10 * n + day)
        lengths.append(suppressed(team, "bob@people.example"))
    assert lengths == [None, ("refused", 90), ("refused", 180), ("refused", 360)]


def test_suppression_with_an_end_closes_the_gate_until_then(team: Team, server: ScriptedSmtp) -> None:
    team.run(
        "INSERT INTO suppressions (address_hmac, reason, until)"
        " SELECT address_hmac(%s, %s), 'refused', now() + x"
        " FROM (VALUES (interval '1 hour')) v (x)",
        "bob@people.example",
        team.settings().address_pads,
    )
    team.start()
    contact = team.contact("bob@people.example")
    assert team.becomes(team.send(contact=contact), "cancelled") == "suppressed"
    team.run("UPDATE suppressions SET until = now() - interval '1 second'")
    assert team.becomes(team.send(contact=contact, step=team.enter_step(2)), "sent") == "accepted"


def test_access_denied_by_exchange_on_two_dates_shows_a_dead_address(team: Team) -> None:
    contact = team.contact("bob@people.example")
    assert refuse(team, contact, 0, DENIED) == "expired refused_today"
    assert refuse(team, contact, 0, DENIED) == "expired refused_today"
    assert refuse(team, contact, 3, DENIED) == "hard_failed soft_failures"
    assert suppressed(team, "bob@people.example") == ("hard_bounce", None)


def test_domain_that_does_not_exist_on_three_dates_is_dead_for_all_its_addresses(team: Team) -> None:
    bob, eve = team.contact("bob@gone.example"), team.contact("eve@gone.example")
    assert refuse(team, bob, 0, NO_DOMAIN) == "expired refused_today"
    assert refuse(team, eve, 1, NO_DOMAIN) == "expired refused_today"
    assert refuse(team, bob, 2, NO_DOMAIN) == "hard_failed soft_failures"
    assert suppressed(team, "bob@gone.example") == ("hard_bounce", None)
    assert suppressed(team, "eve@gone.example") is None
    assert refuse(team, eve, 3, NO_DOMAIN) == "hard_failed soft_failures"
    assert suppressed(team, "eve@gone.example") == ("hard_bounce", None)


def parked(team: Team) -> str | None:
    reason: str | None = team.one("SELECT max(parked_reason) FROM mailboxes WHERE parked_until > now()")
    return reason


POLICY = "550 5.7.26 blocked because the sender is unauthenticated"


@pytest.mark.parametrize(
    ("domains", "between", "parks"), [(3, 0, True), (2, 0, False), (5, 90, True), (5, 99, False)]
)
def test_five_refusals_by_policy_of_three_domains_park_the_mailbox(
    team: Team, domains: int, between: int, parks: bool
) -> None:
    for n in range(5):
        assert parked(team) is None
        refuse(team, team.contact(f"bob{n}@people{n % domains}.example"), 0, POLICY)
        if n == 3:
            team.run("UPDATE send_counts SET mails = mails + %s", between)
    assert parked(team) == ("refused by policy" if parks else None)
    assert team.one("SELECT bool_and(is_active) FROM sequences")
    assert team.one("SELECT count(*) FROM suppressions") == 0
    assert team.one("SELECT count(*) FROM sequences_contacts WHERE status <> 'active'") == 0


OWN = [
    ("MAIL", "530 5.7.0 Authentication Required", "sign_in_needed"),
    ("RCPT", "550 5.7.1 Relaying denied", "relaying_refused"),
    ("dot", "550 5.4.5 Daily user sending limit exceeded", "daily_limit"),
    ("dot", "454 Throttling failure: Daily message quota exceeded.", "daily_limit"),
    ("dot", "554 Message rejected: Email address is not verified.", "sender_refused"),
]


def test_fault_of_the_mailbox_parks_it_at_once_and_the_contact_stays_due(
    team: Team, server: ScriptedSmtp
) -> None:
    team.start(worker_concurrency=1)
    for stage, reply, reason in OWN:
        team.run("UPDATE mailboxes SET parked_until = NULL")
        server.script = {stage: reply}
        message = team.send()
        assert team.becomes(message, "cancelled") == reason, reply
        assert parked(team) == reason
        assert team.status_of(message.contact_id) == "active"
    assert team.one("SELECT count(*) FROM suppressions") == 0


def test_temporary_reply_parks_nothing_and_is_retried(team: Team, server: ScriptedSmtp) -> None:
    team.start(worker_concurrency=1)
    for reply in ("421 4.7.28 unusual rate of unsolicited mail", "454 4.7.1 Relay access denied"):
        server.once["RCPT"] = reply
        team.becomes(team.send(), "planned")
        assert parked(team) is None


def test_address_that_needs_smtputf8_waits_if_the_relay_has_none(team: Team, server: ScriptedSmtp) -> None:
    team.start()
    message = team.send(contact=team.contact("bjørn@people.example"))
    assert team.becomes(message, "expired") == "relay_lacks_smtputf8"
    assert team.status_of(message.contact_id) == "active"
    assert team.one("SELECT count(*) FROM suppressions") == 0
    assert team.one("SELECT count(*) FROM refusals") == 0
    assert parked(team) is None


def returned(team: Team, message: SendMessage, status: str, diagnostic: str) -> str:
    """Record a returned mail as the reader of the mailbox does."""
    verdict = judge_returned(status, diagnostic)
    kind = "bounce" if verdict.ends_enrolment else "soft_bounce"
    return str(
        team.one(
            "SELECT record_feedback(%s, %s, %s, 1, %s, %s, '1 hour', %s)",
            *message.key[:3],
            kind,
            Jsonb({"mail": uuid4().hex, **verdict.consequences}),
            team.settings().address_pads,
        )
    )


def test_returned_mails_count_as_the_replies_do_although_a_relay_accepted_them(team: Team) -> None:
    contact = team.contact("bob@people.example")
    for day in range(3):
        assert team.status_of(contact) == "active"
        message = finish(team, contact, TODAY + timedelta(days=day), "sent")
        assert returned(team, message, "5.0.0", "smtp; 550 go away") == "recorded"
    assert team.status_of(contact) == "bounced"
    assert suppressed(team, "bob@people.example") is None


def test_returned_mail_for_policy_counts_for_the_mailbox_and_not_for_the_contact(team: Team) -> None:
    for n in range(5):
        contact = team.contact(f"bob@people{n}.example")
        message = finish(team, contact, TODAY, "sent")
        returned(team, message, "5.7.1", "smtp; 550 5.7.1 Message rejected due to DMARC policy")
        assert team.status_of(contact) == "active"
    assert parked(team) == "refused by policy"
    assert team.one("SELECT count(*) FROM reputation_events") == 0


def test_returned_mail_of_a_dead_address_suppresses_it(team: Team) -> None:
    contact = team.contact("bob@people.example")
    message = finish(team, contact, TODAY, "sent")
    returned(team, message, "5.0.0", "smtp; 550 No such user here")
    assert team.status_of(contact) == "bounced"
    assert suppressed(team, "bob@people.example") == ("hard_bounce", None)


def test_what_a_person_asked_for_replaces_a_suppression_with_an_end(team: Team) -> None:
    pads = team.settings().address_pads
    team.run(
        "INSERT INTO suppressions (address_hmac, reason, until)"
        " VALUES (address_hmac('bob@people.example', %s), 'refused', now() + interval '1 day')",
        pads,
    )
    contact = team.contact("bob@people.example")
    message = finish(team, contact, TODAY, "sent")
    team.one("SELECT unsubscribe(%s, %s, %s, 1, %s)", *message.key[:3], pads)
    assert suppressed(team, "bob@people.example") == ("unsubscribed", None)
