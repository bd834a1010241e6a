"""Tests at the worker that no spelling of a suppressed address is mailed and no placeholder greeted."""

from __future__ import annotations

import pytest

from tests.conftest import SmtpSink
from tests.step_mailing_worker.conftest import Team

CANONICAL = "bob@xn--bcher-kva.example"
SUPPRESS = "INSERT INTO suppressions (address_hmac, reason) VALUES (address_hmac(%s, %s), 'x')"


@pytest.mark.parametrize(
    "entered",
    [
        "bob@bücher.example",
        "BOB@BÜCHER.example",
        "bob@bu\u0308cher.example",
        "bob@XN--BCHER-KVA.example",
        "ｂｏｂ＠bücher．example",
        "b\u200bob@bücher.example",
    ],
)
def test_no_spelling_of_a_suppressed_address_is_mailed_even_if_sql_entered_it(
    team: Team, smtp_sink: SmtpSink, entered: str
) -> None:
    suppressed = team.dispatch(contact=team.contact(entered))
    free = team.dispatch(contact=team.contact("bob@bücher2.example"))
    team.run(SUPPRESS, CANONICAL, team.queues.settings.worker.address_pads)
    team.publish(suppressed)
    team.publish(free)
    team.start()
    assert team.becomes(suppressed, "cancelled") == "suppressed"
    team.becomes(free, "sent")
    assert [mail.rcpt_to for mail in smtp_sink.wait_for(1)] == [["bob@xn--bcher2-kva.example"]] or len(
        smtp_sink.mails
    ) == 1
    assert CANONICAL not in str([mail.rcpt_to for mail in smtp_sink.mails])


def test_bounce_suppresses_every_spelling(team: Team, smtp_sink: SmtpSink) -> None:
    contact = team.contact("bob@bücher.example")
    message = team.send(contact=contact)
    team.start()
    team.becomes(message, "sent")
    key = message.key
    pads = team.queues.settings.worker.address_pads
    team.run(
        "SELECT record_feedback(%s, %s, %s, %s, 'bounce', '{}', interval '1 hour', %s)",
        key.sequence_id, key.contact_id, key.step_id, key.round, pads,
    )  # fmt: skip
    assert team.one("SELECT address_hmac = address_hmac(%s, %s) FROM suppressions", CANONICAL, pads)


def test_placeholder_is_not_greeted_and_costs_the_sequence_nothing(team: Team, smtp_sink: SmtpSink) -> None:
    team.run("UPDATE steps SET mail_subject = 'Hi {{ contact.name }}'")
    nameless = [
        team.send(contact=team.contact(name=name)) for name in ("#N/A", "NULL", "-", "", "\u200b", "{{ x }}")
    ]
    named = team.send(contact=team.contact(name="Ada"))
    team.start()
    for message in nameless:
        assert team.becomes(message, "cancelled") == "missing_value: subject: contact.name is undefined"
        assert team.status_of(message.contact_id) == "paused"
    team.becomes(named, "sent")
    assert team.one("SELECT is_active FROM sequences")
    assert len(smtp_sink.mails) == 1
