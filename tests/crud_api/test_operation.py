"""Tests the running process: probes, failures, logs, timeouts, and startup with missing settings."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from sqlalchemy import inspect

from crud_api import database as database_module
from crud_api.app import create_app
from crud_api.json_log import JsonLines
from crud_api.sequences import service
from crud_api.tables import metadata
from sequence_store.errors import SettingsError
from tests.conftest import Database, Services
from tests.crud_api.conftest import STEP, Api


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, database: Database, settings: Services) -> Iterator[Api]:
    """Return an API with a statement timeout of 200 ms and one connection."""
    monkeypatch.setattr(database_module, "STATEMENT_TIMEOUT_MS", 200)
    app = create_app(settings.api.model_copy(update={"api_database_connections": 1}))
    with asyncio.Runner() as runner:
        yield Api(app, database, runner)
    app.state.database.close()


def test_probes_say_that_all_is_well(api: Api) -> None:
    assert api.get("/healthz").json() == {"status": "ok"}
    ready = api.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"message": "ready", "parts": {"database": "up"}})


@pytest.mark.parametrize("revision", ["0000_earlier", "0017"])
def test_api_is_not_ready_before_the_migrations_of_its_release(api: Api, revision: str) -> None:
    with api.database.connect() as connection:
        connection.execute("UPDATE alembic_version SET version_num = %s", [revision])
    ready = api.get("/readyz")
    assert ready.status_code == 503
    assert ready.json() == {"message": "down: schema", "parts": {"database": "up", "schema": "down"}}


def test_api_of_the_previous_release_stays_ready_and_says_once_that_the_schema_is_newer(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    with api.database.connect() as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999_later'")
    for _ in range(3):
        assert api.get("/readyz").json() == {"message": "ready", "parts": {"database": "up"}}
    said = [line for line in caplog.messages if "9999_later" in line]
    assert len(said) == 1
    assert "newer than this release's" in said[0]


def test_api_is_not_ready_on_a_database_without_the_question(api: Api) -> None:
    with api.database.connect() as connection:
        connection.execute("DROP FUNCTION schema_revision()")
    assert api.get("/readyz").json()["message"] == "down: schema"


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
    [failure] = [record.fields for record in caplog.records if record.message == "request failed"]
    assert failure["request_id"] == "r-1"
    assert failure["error"].startswith("RuntimeError at ")
    assert "test_operation.py" in failure["error"]


def test_logs_hold_the_route_and_no_address(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        contact = api.contact(mailAddress="secret.person@example.com")
        api.post("/contacts", {"name": "x", "mailAddress": "SECRET.person@example.com"})
        api.get("/contacts", params={"mailAddress": "secret.person@example.com"})
        api.get("/contacts/secret.person@example.com")
        api.get("/secret.person@example.com")
        api.patch(f"/contacts/{contact['id']}", {"mailAddress": "secret.person@@example.com"})
    lines = [JsonLines().format(record) for record in caplog.records if record.name.startswith("crud_api")]
    logged = [json.loads(line) for line in lines]
    assert [(line["method"], line["route"], line["status"]) for line in logged if "route" in line] == [
        ("POST", "/contacts", 201),
        ("POST", "/contacts", 409),
        ("GET", "/contacts", 200),
        ("GET", "/contacts/{contact_id}", 400),
        ("GET", "(no route)", 404),
        ("PATCH", "/contacts/{contact_id}", 400),
    ]
    assert {"at", "level", "logger", "message", "request_id", "duration_ms"} <= set(logged[-1])
    assert "secret" not in "".join(lines).lower()


def test_log_of_an_error_holds_its_places_and_not_its_text() -> None:
    try:
        int("ada@example.com is on fire")
    except ValueError:
        record = logging.getLogger("uvicorn.error").makeRecord(
            "uvicorn.error", logging.ERROR, __file__, 1, "failed", (), sys.exc_info()
        )
    line = JsonLines().format(record)
    assert json.loads(line)["error"].startswith("ValueError at ")
    assert "ada@" not in line


def test_metrics_count_requests_by_route_and_hold_no_id(api: Api) -> None:
    contact = api.contact()
    api.get(f"/contacts/{contact['id']}")
    api.get("/secret.person@example.com")
    answer = api.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    found = {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    duration = "http_server_request_duration_seconds_count"
    assert found[duration, frozenset({"GET", "/contacts/{contact_id}", "200"})] == 1
    assert found[duration, frozenset({"POST", "/contacts", "201"})] == 1
    assert found[duration, frozenset({"GET", "(no route)", "404"})] == 1
    assert found["http_server_active_requests", frozenset()] == 1
    assert found["db_client_connection_count", frozenset({"used"})] == 0
    assert found["db_client_connection_max", frozenset()] == 10
    assert contact["id"] not in answer.text
    assert "secret" not in answer.text


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
    api.sql("ALTER TABLE steps ADD CHECK (step_number < 3)")  # the sequence goes in, its third step does not
    third = STEP | {"stepNumber": 3}
    assert api.post("/sequences", {"name": "two", "steps": [*steps, third]}).status_code == 400
    assert api.sql("SELECT count(*) FROM sequences") == [(1,)]
    assert api.sql("SELECT count(*) FROM steps") == [(2,)]
    assert api.get(f"/sequences/{sequence['id']}").json() == sequence


def test_missing_database_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("API_DATABASE_URL", raising=False)
    with pytest.raises(SettingsError, match="API_DATABASE_URL"):
        create_app()


def test_tables_are_those_that_the_migrations_make(api: Api) -> None:
    found = inspect(api.app.state.database._engine)
    for table in metadata.tables.values():
        columns = {column["name"]: type(column["type"]) for column in found.get_columns(table.name)}
        assert {column.name for column in table.columns} <= set(columns)
