"""Tests of TLS on real servers: an unverified server gets neither a password nor a mail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from step_mailing_worker import smtp
from tests.step_mailing_worker.certificates import Authority
from tests.step_mailing_worker.conftest import Team
from tests.step_mailing_worker.scripted_smtp import ScriptedSmtp
from tests.step_mailing_worker.servers import smtp_server

# The server does not close its transport if the client breaks off TLS.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A certificate authority that the worker trusts as one of the system's."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    smtp.tls_context.cache_clear()
    yield authority
    smtp.tls_context.cache_clear()


def _sign_in_to(team: Team, port: int, security: str) -> None:
    team.smtp = {"smtp_host": "127.0.0.1", "smtp_port": port}
    team.run(
        "UPDATE mailboxes SET smtp_username = 'ann', smtp_secret = 'horse', smtp_security = %s", security
    )


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_mail_and_password_go_over_verified_tls(team: Team, authority: Authority, security: str) -> None:
    kind = "implicit_tls" if security == "tls" else "starttls"
    served: Any = {kind: authority.context("right")}
    with smtp_server(wants_sign_in=security == "starttls", **served) as server:
        server.passes.add("horse")
        _sign_in_to(team, server.port, security)
        if security == "tls":  # aiosmtpd offers AUTH only with STARTTLS
            team.run("UPDATE mailboxes SET smtp_username = NULL")
        team.start()
        messages = [team.send() for _ in range(2)]
        for message in messages:
            team.becomes(message, "sent")
        assert len(server.mails) == 2
        if security == "starttls":
            assert set(server.tried) == {"horse"}
            assert server.secured == [True, True]


@pytest.mark.parametrize("security", ["tls", "starttls"])
@pytest.mark.parametrize("kind", ["wrong_host", "expired", "self_signed"])
def test_server_with_a_certificate_that_does_not_fit_is_told_nothing(
    team: Team, authority: Authority, security: str, kind: str
) -> None:
    served = {"implicit_tls" if security == "tls" else "starttls": authority.context(kind)}
    with smtp_server(**served) as server:  # type: ignore[arg-type]
        _sign_in_to(team, server.port, security)
        message = team.send()
        team.start()
        assert team.becomes(message, "cancelled") == "certificate_not_trusted"
        assert (server.tried, server.mails) == ([], [])
        assert team.one("SELECT parked_reason FROM mailboxes") == "certificate_not_trusted"
        assert team.status_of(message.contact_id) == "active"


@pytest.mark.parametrize(
    ("offered", "answer", "status", "reason"),
    [
        ((), "", "cancelled", "starttls_not_offered"),
        (("STARTTLS", "AUTH PLAIN"), "454 4.7.0 not now", "planned", "server_not_ready"),
        (("STARTTLS", "AUTH PLAIN"), "220 go\r\n250 AUTH PLAIN", "planned", "connection_lost_tls"),
    ],
    ids=["stripped", "refused", "injected"],
)
def test_starttls_that_is_stripped_refused_or_spoilt_ends_before_the_password(
    team: Team, scripted: ScriptedSmtp, offered: tuple[str, ...], answer: str, status: str, reason: str
) -> None:
    scripted.extensions = offered
    scripted.script["STARTTLS"] = answer
    _sign_in_to(team, scripted.port, "starttls")
    message = team.send()
    team.start()
    assert team.becomes(message, status) == reason
    assert not [c for c in scripted.commands if c.startswith(("AUTH", "MAIL"))]
