"""How the process behaves: probes, failures, logs, timeouts, its refusal to start."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest
from pydantic import SecretStr
from sqlalchemy import inspect

from crud_api import database as database_module
from crud_api.app import create_app
from crud_api.errors import KeysMissingError
from crud_api.sequences import service
from crud_api.tables import metadata
from sequence_store.errors import SettingsError
from tests.conftest import Database, MakeSettings, Services
from tests.crud_api.conftest import STEP, Api


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, database: Database, settings: Services) -> Iterator[Api]:
    """Serve with a statement timeout of 200 ms and one connection."""
    monkeypatch.setattr(database_module, "STATEMENT_TIMEOUT_MS", 200)
    app = create_app(settings.api.model_copy(update={"api_database_connections": 1}))
    with asyncio.Runner() as runner:
        yield Api(app, database, runner)
    app.state.database.close()


def test_probes_say_that_all_is_well(api: Api) -> None:
    assert api.get("/healthz").json() == {"status": "ok"}
    ready = api.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"message": "ready", "parts": {"database": "up"}})


def test_readiness_names_the_database_that_is_down_and_the_process_stays_healthy(settings: Services) -> None:
    nowhere = settings.api.model_copy(update={"api_database_url": SecretStr("postgresql://x@127.0.0.1:9/x")})
    app = create_app(nowhere)
    with asyncio.Runner() as runner:
        api = Api(app, None, runner)  # type: ignore[arg-type]
        assert api.get("/healthz").status_code == 200
        ready = api.get("/readyz")
        assert ready.status_code == 503
        assert ready.json() == {"message": "down: database", "parts": {"database": "down"}}
        away = api.get("/sequences")
        assert away.status_code == 503
        assert away.json() == {"message": "The database cannot be reached. Try again in a moment."}


def test_unexpected_failure_is_500_with_a_request_id_and_without_a_trace(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("ada@example.com is on fire")

    monkeypatch.setattr(service, "read", fail)
    with caplog.at_level(logging.INFO):
        failed = api.get("/sequences", headers={"X-Request-Id": "r-1"})
    assert failed.status_code == 500
    assert failed.headers["X-Request-Id"] == failed.json()["requestId"] == "r-1"
    assert "r-1" in failed.json()["message"]
    assert "fire" not in failed.text
    assert "ada@" not in caplog.text
    assert "RuntimeError at " in caplog.text
    assert "test_operation.py" in caplog.text


def test_logs_hold_the_route_and_no_address(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        contact = api.contact(mailAddress="secret.person@example.com")
        api.post("/contacts", {"name": "x", "mailAddress": "SECRET.person@example.com"})
        api.get("/contacts", params={"mailAddress": "secret.person@example.com"})
        api.get("/contacts/secret.person@example.com")
        api.get("/secret.person@example.com")
        api.patch(f"/contacts/{contact['id']}", {"mailAddress": "secret.person@@example.com"})
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("crud_api"))
    assert "GET /contacts/{contact_id} 400" in ours
    assert "POST /contacts 409" in ours
    assert "(no route) 404" in ours
    assert "secret" not in ours.lower()


def test_statement_that_takes_too_long_is_503_and_the_pool_stays_whole(impatient: Api) -> None:
    sequence = impatient.sequence()
    path = f"/sequences/{sequence['id']}"
    with impatient.database.connect() as blocking:
        blocking.execute("UPDATE sequences SET priority = 1")
        slow = impatient.patch(path, {"priority": 2})
    assert (slow.status_code, "too long" in slow.json()["message"]) == (503, True)
    assert impatient.patch(path, {"priority": 3}).json()["priority"] == 3


def test_connection_lost_by_the_server_is_replaced(impatient: Api) -> None:
    impatient.sequence()
    with impatient.database.connect("api") as other:
        other.execute(
            """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE application_name = 'sequence_api' AND datname = current_database()"""
        )
    assert impatient.get("/sequences").status_code in (200, 503)
    assert impatient.get("/sequences").status_code == 200


def test_more_requests_than_connections_all_succeed(impatient: Api) -> None:
    import httpx

    async def many() -> list[int]:
        transport = httpx.ASGITransport(impatient.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            names = [{"name": f"s{n}", "steps": [STEP]} for n in range(60)]
            answers = await asyncio.gather(*(client.post("/sequences", json=name) for name in names))
        return [answer.status_code for answer in answers]

    assert set(impatient.runner.run(many())) == {201}


def test_failed_request_leaves_nothing_behind(api: Api) -> None:
    steps = [STEP, STEP | {"stepNumber": 2, "delayDays": 1}]
    sequence = api.sequence(name="one", steps=steps)
    assert api.post("/sequences", {"name": "one", "steps": steps}).status_code == 409
    assert api.sql("SELECT count(*) FROM sequences") == [(1,)]
    assert api.sql("SELECT count(*) FROM steps") == [(2,)]
    assert api.get(f"/sequences/{sequence['id']}").json() == sequence


def test_without_keys_it_starts_locally_alone_and_says_so(
    make_settings: MakeSettings, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = {"address_key": "x" * 32, "link_keys": "y" * 32, "public_url": "https://mail.example"}
    elsewhere |= {"secret_keys": "z" * 43 + "="}
    with pytest.raises(KeysMissingError, match=r"has no keys yet.*'production'"):
        create_app(make_settings(sequence_environment="production", **elsewhere).api)
    create_app(make_settings().api)
    assert "API_AUTH is off" in caplog.text


def test_missing_database_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("API_DATABASE_URL", raising=False)
    with pytest.raises(SettingsError, match="API_DATABASE_URL"):
        create_app()


def test_tables_are_those_that_the_migrations_make(api: Api) -> None:
    found = inspect(api.app.state.database._engine)
    for table in metadata.tables.values():
        columns = {column["name"]: type(column["type"]) for column in found.get_columns(table.name)}
        assert {column.name for column in table.columns} <= set(columns)
