"""Tests of sign-in with passwords and OAuth 2 tokens, on a token endpoint and servers that require it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from sequence_store.secrets.at_rest import SecretBox
from sequence_store.settings import LOCAL_SECRET_KEY
from tests.step_mailing_worker.conftest import Team
from tests.step_mailing_worker.servers import Server, TokenEndpoint, smtp_server, token_endpoint

# aiosmtpd warns that it requires AUTH without TLS; the tests run on loopback.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")

BOX = SecretBox([LOCAL_SECRET_KEY], takes_unsealed=False)


@pytest.fixture
def provider() -> Iterator[TokenEndpoint]:
    with token_endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def server(team: Team) -> Iterator[Server]:
    """An SMTP server that requires a sign-in with a token or a password."""
    with smtp_server(wants_sign_in=True) as server:
        team.smtp = {"smtp_host": "127.0.0.1", "smtp_port": server.port}
        yield server


def grant(endpoint: TokenEndpoint, /, **more: str) -> str:
    fields = {"client_id": "our-app", "client_secret": "app-secret", "refresh_token": "refresh-0"}
    return json.dumps(fields | {"token_url": endpoint.url} | more)


def give(team: Team, secret: str) -> None:
    team.run("UPDATE mailboxes SET smtp_username = 'ann', smtp_secret = %s", BOX.seal(secret))


def secret_of(team: Team) -> Any:
    return BOX.open(team.one("SELECT smtp_secret FROM mailboxes"))


def test_sealed_password_signs_in(team: Team, server: Server) -> None:
    server.passes.add("correct horse")
    give(team, "correct horse")
    team.start()
    team.becomes(team.send(), "sent")
    assert server.tried == ["correct horse"]


def test_wrong_password_is_tried_once_a_connection_and_parks_the_mailbox(team: Team, server: Server) -> None:
    give(team, "wrong")
    message = team.send()
    team.start()
    assert team.becomes(message, "cancelled") == "sign_in_refused"
    assert server.tried == ["wrong"]


def test_secret_that_no_key_opens_parks_the_mailbox_before_any_connection(team: Team, server: Server) -> None:
    team.run("UPDATE mailboxes SET smtp_username = 'ann', smtp_secret = 'sealed:nothing'")
    message = team.send()
    team.start()
    assert team.becomes(message, "cancelled") == "secret_of_another_key"
    assert team.one("SELECT parked_reason FROM mailboxes") == "secret_of_another_key"
    assert team.status_of(message.contact_id) == "active"
    assert server.tried == []


@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        ({"provider": "generic", "scope": "mail"}, {"scope": "mail"}),
        ({"provider": "google"}, {}),
        (
            {"provider": "microsoft", "tenant": "our-tenant"},
            {
                "scope": "https://outlook.office.com/SMTP.Send "
                "https://outlook.office.com/IMAP.AccessAsUser.All offline_access"
            },
        ),
    ],
    ids=["generic", "google", "microsoft"],
)
def test_grant_becomes_a_token_that_signs_in(
    team: Team, server: Server, provider: TokenEndpoint, fields: dict[str, str], asked: dict[str, str]
) -> None:
    server.passes.add("token-1")
    give(team, grant(provider, **fields))
    team.start()
    team.becomes(team.send(), "sent")
    assert server.tried == ["token-1"]
    (form,) = provider.requests
    assert form == asked | {
        "grant_type": "refresh_token",
        "client_id": "our-app",
        "client_secret": "app-secret",
        "refresh_token": "refresh-0",
    }


def test_token_is_asked_for_once_however_many_mails_wait_for_it(
    team: Team, server: Server, provider: TokenEndpoint
) -> None:
    server.passes.add("token-1")
    give(team, grant(provider))
    messages = [team.dispatch(team.contact()) for _ in range(12)]
    team.publish(*messages)
    team.start()
    for message in messages:
        team.becomes(message, "sent")
    assert len(provider.requests) == 1
    assert set(server.tried) == {"token-1"}


def test_token_that_has_ended_is_replaced_and_so_is_one_that_the_server_refuses(
    team: Team, server: Server, provider: TokenEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("step_mailing_worker.mailbox_connections.MAILS_PER_CONNECTION", 1)
    server.passes.update({"token-1", "token-2", "token-3"})
    provider.lives = 30  # less than the margin, so the token counts as expired at once
    give(team, grant(provider))
    team.start(worker_concurrency=1)
    team.becomes(team.send(), "sent")
    provider.lives = 3600
    team.becomes(team.send(), "sent")
    server.passes.discard("token-2")  # revoked before it expires
    team.becomes(team.send(), "sent")
    assert server.tried == ["token-1", "token-2", "token-2", "token-3"]
    assert team.one("SELECT count(*) FROM send_events WHERE kind <> 'sent'") == 0


def test_token_that_is_refused_though_it_is_new_parks_the_mailbox(
    team: Team, server: Server, provider: TokenEndpoint
) -> None:
    give(team, grant(provider))
    message = team.send()
    team.start()
    assert team.becomes(message, "cancelled") == "sign_in_refused"
    assert server.tried == ["token-1"]


def test_grant_that_the_provider_has_ended_parks_the_mailbox_and_costs_no_contact(
    team: Team, server: Server, provider: TokenEndpoint
) -> None:
    provider.answers = [(400, {"error": "invalid_grant", "error_description": "ann@sender.example"})] * 2
    give(team, grant(provider))
    message = team.send()
    team.start()
    assert team.becomes(message, "cancelled") == "token_refused: invalid_grant"
    assert team.one("SELECT parked_reason FROM mailboxes") == "token_refused: invalid_grant"
    assert team.status_of(message.contact_id) == "active"
    assert server.tried == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_provider_that_is_away_is_a_soft_failure(
    team: Team, server: Server, provider: TokenEndpoint, status: int
) -> None:
    provider.answers = [(status, {})]
    give(team, grant(provider))
    message = team.send()
    team.start()
    assert team.becomes(message, "planned") == "connection_lost_token"
    assert team.one("SELECT parked_until IS NULL FROM mailboxes")


def test_replaced_refresh_token_is_stored_sealed_and_used_next(
    team: Team, server: Server, provider: TokenEndpoint
) -> None:
    server.passes.update({"token-1", "token-2"})
    provider.replaces = True
    give(team, grant(provider))
    team.start().stop()
    first = team.send()
    worker = team.start()
    team.becomes(first, "sent")
    worker.stop()
    assert json.loads(secret_of(team))["refresh_token"] == "refresh-1"
    second = team.send()
    team.start()
    team.becomes(second, "sent")
    assert [form["refresh_token"] for form in provider.requests] == ["refresh-0", "refresh-1"]


def test_token_url_in_the_clear_is_refused_outside_local(
    team: Team, server: Server, provider: TokenEndpoint
) -> None:
    give(team, grant(provider))
    message = team.dispatch().model_copy(update={"environment": "staging"})
    team.publish(message)
    team.run("UPDATE mailboxes SET smtp_security = 'tls'")
    team.start(sequence_environment="staging")
    assert team.becomes(message, "cancelled") == "token_url_without_tls"
    assert provider.requests == []


def test_server_that_offers_no_xoauth2_is_given_no_token(team: Team, provider: TokenEndpoint) -> None:
    with smtp_server(wants_sign_in=True, auth_excluded=["XOAUTH2"]) as server:
        team.smtp = {"smtp_host": "127.0.0.1", "smtp_port": server.port}
        give(team, grant(provider))
        message = team.send()
        team.start()
        assert team.becomes(message, "cancelled") == "xoauth2_not_offered"


def test_reference_is_read_from_secrets_manager_and_again_where_its_password_has_changed(
    team: Team, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("step_mailing_worker.mailbox_connections.MAILS_PER_CONNECTION", 1)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", team.queues.endpoint)
    manager = boto3.client("secretsmanager", region_name="us-east-1")
    arn = manager.create_secret(Name="mail/ann", SecretString="first")["ARN"]
    try:
        for reference in (arn, "secretsmanager:mail/ann"):
            manager.put_secret_value(SecretId=arn, SecretString="first")
            server.passes = {"first"}
            give(team, reference)
            worker = team.start(worker_concurrency=1)
            team.becomes(team.send(), "sent")
            server.passes = {"second"}
            manager.put_secret_value(SecretId=arn, SecretString="second")
            team.becomes(team.send(), "sent")
            worker.stop()
    finally:
        manager.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
        manager.close()


def test_reference_to_nothing_parks_the_mailbox(
    team: Team, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", team.queues.endpoint)
    give(team, "secretsmanager:nothing")
    message = team.send()
    team.start()
    assert team.becomes(message, "cancelled") == "secret_not_found"
