"""Tests of reputation limits: reaching a rate parks the mailbox or switches the sequence off at once."""

from __future__ import annotations

import threading
from typing import Any
from uuid import uuid4

import pytest

from sequence_store.domain.messages import SendMessage
from tests.step_mailing_worker.conftest import Team
from tests.step_mailing_worker.scripted_smtp import DROP, ScriptedSmtp


@pytest.fixture
def server(team: Team, scripted: ScriptedSmtp) -> ScriptedSmtp:
    team.smtp["smtp_port"] = scripted.port
    return scripted


def finish(team: Team, outcome: str, connection: Any = None) -> SendMessage:
    """Insert and finish one more send, as the holder of its claim does."""
    claim = uuid4()
    message = team.dispatch(status="transmitting", claim=claim, transmitting_at="2026-01-01")
    (connection or team.connection).execute(
        "SELECT finish_send(%s, %s, %s, 1::smallint, %s, %s, %s, 'why', %s,"
        " NULL, NULL, NULL, '0', '1 hour', %s)",
        (message.sequence_id, message.contact_id, message.sequence_step_id, claim, outcome,
         "recipient" if outcome == "hard_failed" else None, 550 if outcome == "hard_failed" else None,
         team.settings().address_pads),
    )  # fmt: skip
    return message


def grow(team: Team, mails: int) -> None:
    """Count `mails` more sent mails for the mailbox and the sequence."""
    team.run("UPDATE send_counts SET mails = mails + %s", mails)


def judged(team: Team) -> tuple[str | None, bool]:
    """Return the reason for which the mailbox is parked, and whether the sequence is switched on."""
    reason = team.one("SELECT max(parked_reason) FROM mailboxes WHERE parked_until > now()")
    return reason, team.one("SELECT is_active FROM sequences")


def feed_back(team: Team, message: SendMessage, kind: str, detail: str = "{}") -> str:
    return str(
        team.one(
            "SELECT record_feedback(%s, %s, %s, 1, %s, %s, '1 hour', %s)",
            *message.key[:3],
            kind,
            detail,
            team.settings().address_pads,
        )
    )


def test_fifth_bounce_of_a_hundred_mails_ends_the_mailboxs_and_the_sequences_day_at_once(
    team: Team, server: ScriptedSmtp
) -> None:
    server.script["RCPT"] = "550 5.1.1 no such user"
    team.start(worker_concurrency=1)
    for _ in range(5):
        assert judged(team) == (None, True)
        team.becomes(team.send(), "hard_failed")
    assert judged(team) == ("bounce rate", False)
    assert team.becomes(team.send(), "cancelled") == "sequence_inactive"
    kinds = team.connection.execute(
        "SELECT kind, detail->>'reason' FROM send_events WHERE kind <> 'hard_failed' ORDER BY id"
    ).fetchall()
    assert kinds == [("mailbox_parked", "bounce rate"), ("sequence_switched_off", "bounce rate")]


@pytest.mark.parametrize(("between", "parked"), [(95, True), (96, False)])
def test_bounce_counts_as_long_as_it_is_among_the_last_hundred(
    team: Team, between: int, parked: bool
) -> None:
    finish(team, "hard_failed")
    grow(team, between)
    for _ in range(4):
        finish(team, "hard_failed")
    assert judged(team) == (("bounce rate", False) if parked else (None, True))


def test_worker_parks_the_mailbox_for_the_setting(team: Team, server: ScriptedSmtp) -> None:
    server.script["RCPT"] = "550 5.1.1 no such user"
    team.start(worker_concurrency=1, park_seconds=5000)
    for _ in range(5):
        team.becomes(team.send(), "hard_failed")
    parked = float(team.one("SELECT extract(epoch FROM parked_until - now()) FROM mailboxes"))
    assert parked == pytest.approx(5000, abs=60)


def test_mail_that_never_reached_a_server_is_no_bounce(team: Team, server: ScriptedSmtp) -> None:
    team.start()
    for number in range(5):
        team.becomes(team.send(contact=team.contact(f"no address {number}")), "hard_failed")
    assert judged(team) == (None, True)


def test_of_two_bounces_at_once_the_second_sees_the_first(team: Team) -> None:
    for _ in range(3):
        finish(team, "hard_failed")
    with team.database.connect() as first, team.database.connect() as second:
        finish(team, "hard_failed", first)
        other = threading.Thread(target=finish, args=(team, "hard_failed", second))
        other.start()
        first.commit()
        other.join(10)
        second.commit()
    assert judged(team) == ("bounce rate", False)


def test_rate_is_a_mailboxs_and_a_sequences_own(team: Team) -> None:
    busy = team.mailbox
    for _ in range(4):
        finish(team, "hard_failed")
    team.mailbox = team.one(
        "INSERT INTO mailboxes (address, send_limit, send_start_time, send_end_time)"
        " VALUES ('cid@sender.example', 50, '00:00', '00:00') RETURNING id"
    )
    finish(team, "hard_failed")
    assert judged(team) == (None, False)  # the sequence's fifth, though no mailbox's
    team.mailbox = busy
    finish(team, "hard_failed")
    assert judged(team) == ("bounce rate", False)


@pytest.mark.parametrize(("between", "parked"), [(665, True), (666, False)])
def test_second_complaint_of_666_mails_is_one_too_many(team: Team, between: int, parked: bool) -> None:
    first, second = finish(team, "sent"), finish(team, "sent")
    assert feed_back(team, first, "complaint") == "recorded"
    grow(team, between)
    assert judged(team) == (None, True)
    assert feed_back(team, second, "complaint") == "recorded"
    assert judged(team) == (("complaint rate", False) if parked else (None, True))
    assert team.status_of(first.contact_id) == "unsubscribed"
    assert team.one("SELECT count(*) FROM suppressions WHERE reason = 'complaint'") == 2


def test_complaint_that_is_told_twice_counts_once(team: Team) -> None:
    message = finish(team, "sent")
    answers = [feed_back(team, message, "complaint", f'{{"id": {n}}}') for n in range(3)]
    assert answers == ["recorded", "known", "known"]
    assert judged(team) == (None, True)


def test_bounce_that_comes_after_the_answer_costs_the_same_as_one_before(team: Team) -> None:
    messages = [finish(team, "sent") for _ in range(5)]
    assert {feed_back(team, message, "bounce") for message in messages} == {"recorded"}
    assert judged(team) == ("bounce rate", False)
    assert {team.status_of(message.contact_id) for message in messages} == {"bounced"}
    assert team.one("SELECT count(*) FROM sends WHERE status = 'sent'") == 5


def test_three_unknown_outcomes_in_a_row_park_the_mailbox_and_an_answer_in_between_begins_anew(
    team: Team, server: ScriptedSmtp
) -> None:
    team.start(worker_concurrency=1)
    for outcome in ("unknown", "unknown", "sent", "unknown", "unknown"):
        server.script = {"dot": DROP} if outcome == "unknown" else {}
        team.becomes(team.send(), outcome)
        assert judged(team) == (None, True)
    team.becomes(team.send(), "unknown")
    assert judged(team) == ("three unknown outcomes in a row", True)


def test_reply_ends_the_sequence_for_its_contact_alone(team: Team) -> None:
    replied, other = finish(team, "sent"), finish(team, "sent")
    assert feed_back(team, replied, "reply") == "recorded"
    assert (team.status_of(replied.contact_id), team.status_of(other.contact_id)) == ("replied", "active")
    assert team.one("SELECT count(*) FROM suppressions") == 0


def test_feedback_to_what_never_went_out_changes_nothing(team: Team) -> None:
    planned = team.dispatch()
    assert feed_back(team, planned, "bounce") == "absent"
    assert team.status_of(planned.contact_id) == "active"


def test_no_index_of_the_ledger_names_what_a_send_that_goes_well_changes(team: Team) -> None:
    columns = team.connection.execute(
        """SELECT DISTINCT a.attname FROM pg_index i
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum > 0 AND (
            a.attnum = ANY (i.indkey) OR pg_get_expr(i.indpred, i.indrelid) ~ ('\\m' || a.attname || '\\M'))
        WHERE i.indrelid = 'sends'::regclass ORDER BY 1"""
    )
    kept = ["contact_id", "reason", "round", "send_at", "sequence_id", "step_id"]
    assert [name for (name,) in columns.fetchall()] == kept
