"""Tests what a worker checks before it receives a message, and what its health says."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from local_stack.ports import free_port
from local_stack.postgres import SUPERUSER, Postgres
from local_stack.processes import wait_until
from sequence_store.errors import SettingsError
from sequence_store.postgres.schema_revision import SchemaState, release_revision, schema_state
from step_mailing_worker.sinks import is_sink
from tests.step_mailing_worker.conftest import Team
from tests.step_mailing_worker.scripted_smtp import ScriptedSmtp


def asked(port: int, path: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
    except OSError:
        return 0, {}


def revise(team: Team, revision: str) -> None:
    with team.database.connect() as connection:
        connection.execute("UPDATE alembic_version SET version_num = %s", [revision])


def test_release_revision_is_the_newest_migration() -> None:
    import migrations

    assert release_revision() == migrations.revisions()[-1]


@pytest.mark.parametrize(
    ("found", "state"),
    [(None, "older"), ("0017", "older"), ("0000_earlier", "older"), ("9999_later", "newer")],
)
def test_revision_is_compared_by_its_number(found: str | None, state: str) -> None:
    assert schema_state(found) is SchemaState(state)
    assert schema_state(release_revision()) is SchemaState.SAME


def test_worker_waits_for_the_migrations_of_its_release_and_is_not_ready_meanwhile(team: Team) -> None:
    revise(team, "0000_earlier")
    port = free_port()
    message = team.send()
    team.start(worker_metrics_port=port)
    assert wait_until(lambda: asked(port, "/healthz")[0] == 200, 10)
    status, body = asked(port, "/readyz")
    assert (status, body["parts"]["schema"], body["parts"]["database"]) == (503, "down", "up")
    assert team.row(message)[0] == "dispatched"
    revise(team, release_revision())
    team.becomes(message, "sent")
    assert asked(port, "/readyz") == (
        200,
        {"message": "ready", "parts": {"queue": "up", "schema": "up", "database": "up"}},
    )


def test_worker_of_an_earlier_release_says_so_in_one_line_and_works(
    team: Team, caplog: pytest.LogCaptureFixture
) -> None:
    revise(team, "9999_later")
    message = team.send()
    team.start()
    team.becomes(message, "sent")
    lines = [line for line in caplog.messages if "schema_is_newer" in line]
    assert len(lines) == 1
    assert "9999_later" in lines[0]
    assert "\n" not in lines[0]


def test_worker_without_its_database_is_not_ready_and_recovers(team: Team, postgres: Postgres) -> None:
    port = free_port()
    team.start(worker_metrics_port=port)
    assert wait_until(lambda: asked(port, "/readyz")[0] == 200, 15)
    with psycopg.connect(postgres.url(SUPERUSER), autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {team.database.name} ALLOW_CONNECTIONS false")
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = %s AND usename = 'sequence_worker'",
            [team.database.name],
        )
    assert wait_until(lambda: asked(port, "/readyz")[0] == 503, 20)
    assert "database" in asked(port, "/readyz")[1]["message"]
    assert asked(port, "/healthz")[0] == 200
    with psycopg.connect(postgres.url(SUPERUSER), autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {team.database.name} ALLOW_CONNECTIONS true")
    assert wait_until(lambda: asked(port, "/readyz")[0] == 200, 20)


def test_worker_without_a_queue_is_alive_and_not_ready(team: Team) -> None:
    port = free_port()
    team.start(worker_metrics_port=port, aws_endpoint_url_sqs="http://127.0.0.1:9")
    assert wait_until(lambda: asked(port, "/healthz")[0] == 200, 10)
    status, body = asked(port, "/readyz")
    assert (status, body["parts"]["queue"]) == (503, "down")


@pytest.mark.parametrize(
    ("greeting", "expected"),
    [
        ("mail-sink.localhost delivers nothing", True),
        ("mailhog.example ESMTP MailHog", True),
        ("6ad2f Mailpit ESMTP Service ready", True),
        ("host smtp4dev ready", True),
        ("EventMachine SMTP Server", True),
        ("/127.0.0.1 GreenMail SMTP Service Ready at port 3025", True),
        ("mx.google.com ESMTP x12-20020a - gsmtp", False),
        ("smtp.sinking.example ESMTP Postfix", False),
    ],
)
def test_sinks_are_known_by_their_greeting(greeting: str, expected: bool) -> None:
    assert is_sink(greeting) is expected


def outside(team: Team, **changes: Any) -> Any:
    """Start a worker of the environment staging and return the error that ends it, or None if it runs."""
    worker = team.start(sequence_environment="staging", **changes)
    wait_until(lambda: not worker._thread.is_alive(), 3)
    team.workers.remove(worker)
    if worker._thread.is_alive():
        worker.stop()
        return None
    return worker._failure


def test_missing_smtp_host_is_refused_outside_local_if_a_mailbox_needs_it(team: Team) -> None:
    refused = outside(team, smtp_host="")
    assert isinstance(refused, SettingsError)
    assert str(refused).startswith("SMTP_HOST must be set in the environment 'staging': 1 active mailboxes")
    team.run("UPDATE mailboxes SET smtp_host = 'smtp.example.com'")
    assert outside(team, smtp_host="") is None
    team.run("UPDATE mailboxes SET smtp_host = NULL, is_active = false")
    assert outside(team, smtp_host="") is None


def test_mailbox_that_gets_no_server_later_is_parked_and_its_mail_is_not_lost(team: Team) -> None:
    team.run("UPDATE mailboxes SET smtp_host = 'smtp.example.com'")
    port = free_port()
    team.start(sequence_environment="staging", smtp_host="", worker_metrics_port=port)
    assert wait_until(lambda: asked(port, "/readyz")[0] == 200, 15)
    team.run("UPDATE mailboxes SET smtp_host = NULL")
    message = team.dispatch().model_copy(update={"environment": "staging"})
    team.publish(message)
    assert team.becomes(message, "cancelled") == "no_smtp_host"


def test_server_that_greets_as_a_sink_is_refused_outside_local(team: Team, server: ScriptedSmtp) -> None:
    server.script["banner"] = "220 mail-sink.localhost delivers nothing"
    refused = outside(team)
    assert isinstance(refused, SettingsError)
    assert str(refused).startswith("SMTP_HOST must not be '127.0.0.1' in the environment 'staging'")
    assert server.commands == []


def test_mailbox_is_parked_if_its_server_turns_out_to_be_a_sink(team: Team, server: ScriptedSmtp) -> None:
    message = team.dispatch().model_copy(update={"environment": "staging"})
    team.start(sequence_environment="staging")
    assert wait_until(lambda: server.connections > 0, 10)  # the greeting was read at the start
    server.script["banner"] = "220 mail-sink.localhost delivers nothing"
    team.publish(message)
    assert team.becomes(message, "cancelled") == "mail_sink"
    assert server.mails == []


@pytest.fixture
def server(team: Team) -> Iterator[ScriptedSmtp]:
    scripted = ScriptedSmtp()
    team.smtp = {"smtp_host": "127.0.0.1", "smtp_port": scripted.port}
    yield scripted
    scripted.close()
