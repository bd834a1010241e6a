"""Tests of pipelined MAIL and RCPT: each reply is matched to its own command."""

from __future__ import annotations

import pytest

from step_mailing_worker.smtp_protocol import SmtpProtocol
from tests.step_mailing_worker.conftest import Team
from tests.step_mailing_worker.scripted_smtp import DROP, HANG, ScriptedSmtp


@pytest.fixture
def server(team: Team, scripted: ScriptedSmtp) -> ScriptedSmtp:
    scripted.extensions = ("PIPELINING",)
    team.smtp = {"smtp_port": scripted.port, "smtp_timeout_seconds": 1, "smtp_final_dot_seconds": 1}
    return scripted


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Record the verbs of the commands that are written together."""
    verbs: list[list[str]] = []
    send = SmtpProtocol.send

    def recorded(protocol: SmtpProtocol, *commands: bytes) -> None:
        verbs.append([command[:4].decode() for command in commands])
        send(protocol, *commands)

    monkeypatch.setattr(SmtpProtocol, "send", recorded)
    return verbs


@pytest.mark.parametrize("offered", [True, False])
def test_mail_and_rcpt_go_together_where_that_is_offered(
    team: Team, server: ScriptedSmtp, written: list[list[str]], offered: bool
) -> None:
    if not offered:
        server.extensions = ()
    message = team.send()
    team.start()
    team.becomes(message, "sent")
    begun = [["MAIL", "RCPT"]] if offered else [["MAIL"], ["RCPT"]]
    assert written[: len(begun) + 2] == [*begun, ["DATA"], ["."]]


@pytest.mark.parametrize(
    ("stage", "reply", "status"),
    [
        ("MAIL", "451 4.3.0 busy", "planned"),
        ("RCPT", "550 5.1.1 no such user", "hard_failed"),
        ("RCPT", "450 4.2.0 later", "planned"),
        ("DATA", "451 4.3.0 busy", "planned"),
    ],
)
def test_refusal_leaves_a_connection_on_which_the_next_mail_gets_its_own_answers(
    team: Team, server: ScriptedSmtp, stage: str, reply: str, status: str
) -> None:
    server.once[stage] = reply
    team.start(worker_concurrency=1)
    team.becomes(team.send(), status)
    team.becomes(team.send(), "sent")
    assert (server.connections, len(server.mails)) == (1, 1)


@pytest.mark.parametrize("stage", ["MAIL", "RCPT"])
@pytest.mark.parametrize("how", [DROP, HANG, "421 4.3.2 closing", "garbage", "250 " + "x" * 100_000])
def test_what_breaks_while_two_answers_are_owed_sends_nothing(
    team: Team, server: ScriptedSmtp, stage: str, how: str
) -> None:
    server.script[stage] = how
    message = team.send()
    team.start()
    team.becomes(message, "planned")
    assert team.status_of(message.contact_id) == "active"
    assert server.mails == []


def test_answer_that_nobody_asked_for_ends_the_connection_and_counts_for_no_mail(
    team: Team, server: ScriptedSmtp
) -> None:
    server.once["dot"] = "250 2.0.0 ok\r\n250 2.0.0 and once more"
    server.once["RCPT"] = "250 2.1.5 ok"
    team.start(worker_concurrency=1)
    team.becomes(team.send(), "sent")
    server.once["RCPT"] = "550 5.1.1 no such user"
    team.becomes(team.send(), "hard_failed")
    assert (server.connections, len(server.mails)) == (2, 1)
