"""Tests of worker processes that are paused or get SIGTERM; tests/faults/test_crash_matrix.py kills them."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

import pytest

from local_stack.processes import wait_until
from sequence_store.domain.messages import SendMessage
from sequence_store.failpoints import Failpoint
from tests.conftest import SmtpSink
from tests.step_mailing_worker.conftest import Team
from tests.step_mailing_worker.scripted_smtp import HANG, ScriptedSmtp


def _take_over(team: Team, *messages: SendMessage) -> None:
    """Expire the leases, publish the messages again, and start another worker."""
    team.run("UPDATE sends SET lease_until = now() - interval '1 s' WHERE status = 'claimed'")
    team.publish(*messages)
    team.start()


def test_worker_that_sleeps_past_its_lease_while_another_sends_is_fenced(
    team: Team, smtp_sink: SmtpSink
) -> None:
    process = team.start_process(CRASH_AT=Failpoint.AFTER_RCPT, CRASH_SIGNAL="STOP")
    message = team.send()
    assert wait_until(lambda: _is_stopped(process), 15)
    _take_over(team, message)
    team.becomes(message, "sent")
    process.send_signal(signal.SIGCONT)
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0
    assert "event=fenced" in team.log.read_text()
    assert len(smtp_sink.mails) == 1


def test_worker_that_sleeps_while_transmitting_may_still_say_sent(team: Team, smtp_sink: SmtpSink) -> None:
    process = team.start_process(CRASH_AT=Failpoint.AFTER_ANSWER, CRASH_SIGNAL="STOP")
    message = team.send()
    assert wait_until(lambda: _is_stopped(process), 15)
    team.run("UPDATE sends SET status = 'unknown' WHERE status = 'transmitting'")
    process.send_signal(signal.SIGCONT)
    team.becomes(message, "sent")
    assert len(smtp_sink.mails) == 1


def _is_stopped(process: subprocess.Popen[bytes]) -> bool:
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_idle_worker_ends_when_asked_and_its_log_names_no_address(team: Team, smtp_sink: SmtpSink) -> None:
    process = team.start_process()
    message = team.send()
    team.becomes(message, "sent")
    process.terminate()
    assert process.wait(10) == 0
    log = team.log.read_text()
    assert "@" not in log
    assert "Bob" not in log
    assert re.search(
        rf"event=sent sequence_id=1 contact_id={message.contact_id} step_id=1 round=1 attempt=1", log
    )


@pytest.mark.parametrize(
    ("stage", "status", "outcome"), [("body", "planned", "soft_failed"), ("dot", "unknown", "unknown")]
)
def test_worker_that_is_asked_to_end_during_the_body_or_the_dot_finishes_that_mail(
    team: Team, scripted: ScriptedSmtp, stage: str, status: str, outcome: str
) -> None:
    team.run("UPDATE steps SET mail_content = %s", "Hello. " * 60_000)
    scripted.script[stage] = HANG
    team.smtp = {"smtp_host": "127.0.0.1", "smtp_port": scripted.port, "smtp_final_dot_seconds": 2,
                 "smtp_timeout_seconds": 2}  # fmt: skip
    message = team.send()
    worker = team.start()
    assert scripted.reached.wait(10)
    worker.stop()
    assert team.row(message)[0] == status
    assert team.results() == [outcome]


@pytest.mark.parametrize("stage", ["banner", "RCPT"])
def test_worker_that_is_asked_to_end_before_the_gate_gives_claim_and_message_back_at_once(
    team: Team, scripted: ScriptedSmtp, stage: str
) -> None:
    scripted.script[stage] = HANG
    team.smtp = {"smtp_host": "127.0.0.1", "smtp_port": scripted.port, "smtp_timeout_seconds": 20}
    message = team.send()
    worker = team.start()
    assert scripted.reached.wait(10)
    worker.stop(seconds=5)
    assert team.one("SELECT status, lease_until <= now() FROM sends") == ("claimed", True)
    assert team.messages()[0] >= 1
    scripted.script.clear()
    team.start()
    team.becomes(message, "sent")
    assert team.row(message)[2] == 1
    assert len(scripted.mails) == 1


def test_message_that_arrives_as_the_worker_is_asked_to_end_is_visible_again(
    team: Team, smtp_sink: SmtpSink
) -> None:
    worker = team.start()
    team.becomes(team.send(), "sent")
    assert team.handled()
    message = team.dispatch()
    worker.request_stop()
    team.publish(message, times=5)
    worker.stop()
    assert team.messages()[1] == 0
