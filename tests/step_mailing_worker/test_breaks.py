"""Tests with connections that break or hang, SMTP replies of every kind, and an unavailable database."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from local_stack.processes import wait_until
from tests.conftest import SmtpSink
from tests.step_mailing_worker.conftest import Team
from tests.step_mailing_worker.scripted_smtp import DROP, HANG, ScriptedSmtp

BEFORE_THE_DOT = ["banner", "EHLO", "MAIL", "RCPT", "DATA", "body"]
LARGE = "Hello. " * 60_000


@pytest.fixture
def server(team: Team, scripted: ScriptedSmtp) -> Iterator[ScriptedSmtp]:
    team.smtp = {"smtp_host": "127.0.0.1", "smtp_port": scripted.port, "smtp_timeout_seconds": 1,
                 "smtp_final_dot_seconds": 1}  # fmt: skip
    yield scripted
    scripted.release()


@pytest.mark.parametrize(
    ("stage", "how"),
    [*((stage, DROP) for stage in BEFORE_THE_DOT), ("banner", HANG), ("MAIL", HANG), ("body", HANG)],
)
def test_connection_that_breaks_before_the_dot_is_a_soft_failure_that_costs_the_contact_nothing(
    team: Team, server: ScriptedSmtp, stage: str, how: str
) -> None:
    team.run("UPDATE steps SET mail_content = %s", LARGE)
    server.script[stage] = how
    message = team.send()
    team.start()
    reason = team.becomes(message, "planned")
    assert reason.startswith("connection_lost" if how == DROP else "timeout")
    assert team.handled()
    assert team.row(message)[2] == 2
    later, due = team.one("SELECT send_at - now() > interval '290 s', status FROM sends")
    assert (later, due) == (True, "planned")
    assert team.one("SELECT detail->>'fault' FROM send_events WHERE kind = 'soft_failure'") == "connection"
    assert team.one("SELECT coalesce(sum(used), 0)::int FROM mailbox_days") == 0
    assert team.results() == ["soft_failed"]
    assert server.mails == []


@pytest.mark.parametrize("how", [DROP, HANG])
def test_connection_that_breaks_after_the_dot_is_unknown_and_never_tried_again(
    team: Team, server: ScriptedSmtp, how: str
) -> None:
    server.script["dot"] = how
    message = team.send()
    team.start()
    team.becomes(message, "unknown")
    team.publish(message)
    assert team.handled()
    assert len(server.mails) == 1
    assert team.one("SELECT used FROM mailbox_days") == 1
    assert team.results() == ["unknown"]


def test_three_unknown_outcomes_in_a_row_park_the_mailbox(team: Team, server: ScriptedSmtp) -> None:
    server.script["dot"] = DROP
    team.publish(*[team.dispatch(team.contact()) for _ in range(3)])
    team.start()
    assert team.handled()
    assert team.one("SELECT parked_until > now() FROM mailboxes")


def test_server_that_breaks_off_after_its_answer_has_accepted_the_mail(
    team: Team, server: ScriptedSmtp
) -> None:
    server.script["answered"] = DROP
    messages = [team.send() for _ in range(2)]
    team.start()
    for message in messages:
        team.becomes(message, "sent")
    assert len(server.mails) == 2
    assert team.one("SELECT count(*) FROM sends WHERE provider_message_id = 'SCRIPTED1'") == 2


def test_kept_connection_is_used_again_and_a_stale_one_is_replaced_without_a_failure(
    team: Team, server: ScriptedSmtp
) -> None:
    team.start(worker_concurrency=1)
    for _ in range(2):
        team.becomes(team.send(), "sent")
    assert server.connections == 1
    server.once["MAIL"] = "421 4.4.2 idle for too long"
    team.becomes(team.send(), "sent")
    server.once["MAIL"] = DROP
    team.becomes(team.send(), "sent")
    assert server.connections == 3
    assert team.one("SELECT count(*) FROM send_events WHERE kind <> 'sent'") == 0


@pytest.mark.parametrize(
    ("stage", "reply", "status", "enrolment", "suppressed", "parked"),
    [
        ("RCPT", "550 5.1.1 no such user", "hard_failed", "bounced", 1, False),
        ("RCPT", "450 4.2.1 slow down", "planned", "active", 0, False),
        ("RCPT", "550 5.4.5 Daily user sending limit exceeded", "cancelled", "active", 0, True),
        ("MAIL", "451 4.3.0 busy", "planned", "active", 0, False),
        ("MAIL", "550 5.7.232 tenant limit", "cancelled", "active", 0, True),
        ("dot", "452 4.3.1 no space", "planned", "active", 0, False),
        ("dot", "421 4.3.2 shutting down", "planned", "active", 0, False),
        ("dot", "554 5.6.0 malformed message", "cancelled", "paused", 0, False),
        ("dot", "554 5.6.0 content rejected", "expired", "active", 0, False),
        ("DATA", "554 no", "cancelled", "paused", 0, False),
        ("dot", "nonsense", "unknown", "active", 0, False),
        ("banner", "554 not today", "planned", "active", 0, False),
    ],
)
def test_answer_costs_only_whose_fault_it_is(
    team: Team, server: ScriptedSmtp, stage: str, reply: str, status: str, enrolment: str, suppressed: int,
    parked: bool,
) -> None:  # fmt: skip
    server.script[stage] = reply
    message = team.send()
    team.start()
    team.becomes(message, status)
    assert team.handled()
    assert team.status_of(message.contact_id) == enrolment
    assert team.one("SELECT count(*) FROM suppressions") == suppressed
    assert team.one("SELECT parked_until IS NOT NULL FROM mailboxes") == parked
    assert team.one("SELECT coalesce(sum(used), 0)::int FROM mailbox_days") == (status == "unknown")


def test_delay_that_the_server_names_is_honoured(team: Team, server: ScriptedSmtp) -> None:
    server.script["RCPT"] = "450 4.2.0 greylisted, try again in 47 minutes"
    message = team.send()
    team.start()
    team.becomes(message, "planned")
    assert (
        timedelta(minutes=46)
        < team.one("SELECT send_at - now() FROM sends")
        <= timedelta(minutes=47, seconds=1)
    )


def test_refused_password_parks_the_mailbox_once_and_the_rest_of_its_mails_keep_their_contacts(
    team: Team, server: ScriptedSmtp
) -> None:
    team.run("UPDATE mailboxes SET smtp_username = 'ann', smtp_secret = 'wrong'")
    server.script["AUTH"] = "535 5.7.8 bad credentials"
    messages = [team.send() for _ in range(4)]
    team.start()
    for message in messages:
        team.becomes(message, "cancelled")
    assert team.one("SELECT count(*) FROM send_events WHERE kind = 'mailbox_parked'") == 1
    assert team.one("SELECT parked_reason FROM mailboxes") == "sign_in_refused"
    assert team.one("SELECT bool_and(status = 'active') FROM sequences_contacts")


def test_no_password_goes_over_a_connection_that_should_be_secure_and_is_not(
    team: Team, server: ScriptedSmtp
) -> None:
    team.run("UPDATE mailboxes SET smtp_username = 'ann', smtp_secret = 's', smtp_security = 'starttls'")
    message = team.send()
    team.start()
    assert team.becomes(message, "cancelled") == "starttls_not_offered"
    assert not [command for command in server.commands if command.startswith("AUTH")]


def test_international_domain_goes_as_punycode_and_an_international_name_needs_smtputf8(
    team: Team, server: ScriptedSmtp
) -> None:
    domain = team.send(contact=team.contact("bob@bücher.example"))
    local = team.send(contact=team.contact("jürgen@people.example"))
    team.start()
    team.becomes(domain, "sent")
    assert "RCPT TO:<bob@xn--bcher-kva.example>" in server.commands
    assert team.becomes(local, "expired") == "relay_lacks_smtputf8"
    server.extensions = ("SMTPUTF8", "8BITMIME", "SIZE 1000000")
    team.workers.pop().stop()
    team.start()
    offered = team.send(contact=team.contact("jörg@people.example"))
    team.becomes(offered, "sent")
    assert "RCPT TO:<jörg@people.example>" in server.commands


def test_answer_is_stored_short_printable_and_without_addresses(team: Team, server: ScriptedSmtp) -> None:
    contact = team.contact("bob@people.example")
    lines = "\r\n".join(f"550-5.1.1 \x1b[31m<bob@people.example> {'x' * 200}" for _ in range(100))
    server.script["RCPT"] = f"{lines}\r\n550 5.1.1 gone"
    message = team.send(contact=contact)
    team.start()
    team.becomes(message, "hard_failed")
    stored = team.one("SELECT smtp_reply FROM sends")
    assert len(stored) <= 300
    assert stored.isprintable()
    assert "@" not in stored


def test_answer_of_a_megabyte_harms_nobody(team: Team, server: ScriptedSmtp) -> None:
    server.script["RCPT"] = "550 " + "x" * 1_000_000
    message = team.send()
    team.start()
    assert team.becomes(message, "planned") == "unreadable_answer"


def test_mail_whose_transfer_outlives_visibility_and_lease_goes_out_once(
    team: Team, smtp_sink: SmtpSink
) -> None:
    """Without renewal of the visibility timeout and the lease, the other worker would claim the send."""
    team.queues.client.set_queue_attributes(
        QueueUrl=team.queues.sends.url, Attributes={"VisibilityTimeout": "2"}
    )
    slow = ScriptedSmtp(script={"RCPT": HANG})
    team.smtp = {"smtp_host": "127.0.0.1", "smtp_port": slow.port, "smtp_timeout_seconds": 20}
    message = team.send()
    try:
        for _ in range(2):
            team.start(claim_lease_seconds=2)
        assert slow.reached.wait(10)
        claim = team.one("SELECT claim FROM sends")
        assert not wait_until(lambda: team.one("SELECT claim FROM sends") != claim, 4)
        assert slow.connections == 1
    finally:
        slow.close()
    team.becomes(message, "planned")


def _end_sessions(team: Team) -> None:
    """End the workers' sessions, as a restart does; a role may end its own sessions."""
    with team.database.connect("worker", autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'step_mailing_worker' AND datname = current_database()"
        )


def _waits_for_a_lock(team: Team) -> bool:
    with team.database.connect("worker") as connection:
        return bool(
            connection.execute(
                "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                " AND application_name = 'step_mailing_worker' AND datname = current_database()"
            ).rowcount
        )


@contextmanager
def _database_away(team: Team) -> Iterator[None]:
    """Refuse new connections and end the workers' sessions, as a server that stops does."""
    limit = f"ALTER DATABASE {team.database.name} CONNECTION LIMIT"
    with team.database.connect("worker", autocommit=True) as inside:
        team.run(f"{limit} 0")
        inside.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'step_mailing_worker' AND datname = current_database()"
        )
    try:
        yield
    finally:
        team.run(f"{limit} -1")


def test_database_that_is_away_after_the_answer_gets_the_outcome_later_and_the_mail_is_not_sent_again(
    team: Team, server: ScriptedSmtp
) -> None:
    server.script["dot"] = HANG
    team.smtp["smtp_final_dot_seconds"] = 20
    message = team.send()
    team.start()
    assert server.reached.wait(10)
    with _database_away(team):
        server.release()
        assert not wait_until(lambda: team.row(message)[0] != "transmitting", 1.5)
        assert team.messages() == (0, 1)
    team.becomes(message, "unknown")
    assert team.handled()
    assert len(server.mails) == 1


def test_database_that_restarts_between_claims_goes_unnoticed(team: Team, smtp_sink: SmtpSink) -> None:
    team.start()
    for _ in range(3):
        message = team.send()
        team.becomes(message, "sent")
        _end_sessions(team)
    assert len(smtp_sink.mails) == 3


def test_database_that_is_away_at_the_claim_is_waited_for_and_nothing_is_sent_meanwhile(
    team: Team, smtp_sink: SmtpSink
) -> None:
    team.start()
    team.becomes(team.send(), "sent")
    with _database_away(team):
        message = team.send()
        assert wait_until(lambda: team.messages() == (0, 1), 10)
        assert not wait_until(lambda: len(smtp_sink.mails) > 1, 1)
    team.becomes(message, "sent")


def test_database_lost_at_the_gate_sends_nothing_and_gives_the_count_back(
    team: Team, server: ScriptedSmtp
) -> None:
    """The session ends while the gate waits for the contact's lock: its result is unknown to the worker."""
    message = team.send()
    with team.database.connect() as blocker:
        blocker.execute("SELECT FROM contacts WHERE id = %s FOR UPDATE", [message.contact_id])
        team.start()
        assert wait_until(lambda: _waits_for_a_lock(team), 10)
        _end_sessions(team)
    assert team.becomes(message, "planned") == "database_lost_at_gate"
    assert team.handled()
    assert server.mails == []
    assert team.one("SELECT coalesce(sum(used), 0)::int FROM mailbox_days") == 0


def test_private_host_is_a_mailboxs_in_the_local_environment_alone(team: Team, server: ScriptedSmtp) -> None:
    message = team.dispatch().model_copy(update={"environment": "staging"})
    team.run(
        "UPDATE mailboxes SET smtp_host = '127.0.0.1', smtp_port = %s, smtp_security = 'none'", server.port
    )
    team.publish(message)
    team.start(sequence_environment="staging")
    assert team.becomes(message, "cancelled") == "private_host"
    assert server.commands == []


STAGES = ["banner", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA"]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("how", [DROP, HANG, "421 4.3.2 closing", "garbage", "250 " + "x" * 100_000])
def test_whatever_breaks_at_any_stage_before_the_dot_sends_nothing_and_costs_the_contact_nothing(
    team: Team, server: ScriptedSmtp, stage: str, how: str
) -> None:
    if stage == "STARTTLS":
        server.extensions = ("STARTTLS",)
        team.run("UPDATE mailboxes SET smtp_security = 'starttls'")
    if stage == "AUTH":
        team.run("UPDATE mailboxes SET smtp_username = 'ann', smtp_secret = 'horse'")
    server.script[stage] = how
    message = team.send()
    team.start()
    team.becomes(message, "planned")
    assert team.handled()
    assert team.status_of(message.contact_id) == "active"
    assert team.one("SELECT coalesce(sum(used), 0)::int FROM mailbox_days") == 0
    assert team.one("SELECT count(*) FROM suppressions") == 0
    assert server.mails == []


@pytest.mark.parametrize("reply", ["421 4.3.2", "450 4.2.0", "451 4.3.0", "452 4.3.1", "432 4.3.2"])
@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "dot"])
def test_deferral_at_any_stage_comes_back_within_the_day(
    team: Team, server: ScriptedSmtp, stage: str, reply: str
) -> None:
    server.script[stage] = f"{reply} try again in 300 seconds"
    message = team.send()
    team.start()
    team.becomes(message, "planned")
    later = team.one("SELECT extract(epoch FROM send_at - now()) FROM sends")
    assert 290 < later <= 310
    assert team.one("SELECT attempt, status FROM sends") == (2, "planned")
    assert team.status_of(message.contact_id) == "active"


def test_deferral_past_the_windows_end_expires_and_the_contact_stays_due(
    team: Team, server: ScriptedSmtp
) -> None:
    server.script["RCPT"] = "450 4.2.0 try again in 2 hours"
    message = team.send(lives=3600)
    team.start()
    team.becomes(message, "expired")
    assert team.status_of(message.contact_id) == "active"


def test_sent_that_cannot_be_recorded_is_recorded_later_and_its_message_waits(
    team: Team, smtp_sink: SmtpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database becomes unavailable between DATA and the reply 250."""
    with ExitStack() as outage:

        class Leaving(dict[str, str]):
            def get(self, key: str, _default: object = None) -> None:  # type: ignore[override]
                if key == "DATA":
                    outage.enter_context(_database_away(team))

        monkeypatch.setattr(smtp_sink, "replies", Leaving())
        message = team.send()
        team.start()
        assert len(smtp_sink.wait_for(1)) == 1
        assert not wait_until(lambda: team.row(message)[0] != "transmitting", 1.5)
        assert team.messages() == (0, 1)
    team.becomes(message, "sent")
    assert team.handled()
    assert len(smtp_sink.mails) == 1


def test_claim_without_an_answer_is_made_again_and_sends_once(team: Team, smtp_sink: SmtpSink) -> None:
    message = team.dispatch()
    with team.database.connect() as blocker:
        blocker.execute("SELECT FROM sends WHERE contact_id = %s FOR UPDATE", [message.contact_id])
        team.publish(message)
        team.start()
        assert wait_until(lambda: _waits_for_a_lock(team), 10)
        _end_sessions(team)
    team.becomes(message, "sent")
    assert team.handled()
    assert len(smtp_sink.mails) == 1
    assert team.row(message)[2] == 1


SHIFTED = """
import datetime, time
real = time.time
time.time = lambda: real() + {shift}
class Shifted(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(time.time(), tz)
datetime.datetime = Shifted
"""


@pytest.mark.parametrize("hours", [6, -6])
def test_worker_whose_clock_is_wrong_does_all_the_same(
    team: Team, smtp_sink: SmtpSink, tmp_path: Path, hours: int
) -> None:
    """The database's clock decides if a send is due, early or expired; mails carry the planned time."""
    (tmp_path / "sitecustomize.py").write_text(SHIFTED.format(shift=hours * 3600))
    due, early, over = team.dispatch(), team.dispatch(due_in=600), team.dispatch(due_in=-100, lives=50)
    team.publish(due, early, over)
    team.start_process(PYTHONPATH=str(tmp_path), WORKER_CONCURRENCY="3")
    team.becomes(due, "sent")
    team.becomes(over, "expired")
    assert team.row(early)[0] == "dispatched"
    (line,) = re.findall(r"^(\S+) .*event=started", team.log.read_text(), re.MULTILINE)
    told = datetime.fromisoformat(line)
    assert timedelta(hours=5) < abs(told - datetime.now(UTC)) < timedelta(hours=7)
    (mail,) = smtp_sink.wait_for(1)
    assert message_from_bytes(mail.data, policy=policy.default)["Date"].datetime == due.send_at
