"""Fixtures: the API in this process with its own database. SQL inserts sends, as a plan would."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from crud_api.app import create_app
from local_stack.postgres import OWNER, Postgres
from sequence_store.settings import ApiSettings
from tests.conftest import ROLES, Database, Services

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
TODAY = "2026-03-10"
NOBODY = str(uuid4())
STEP = {"stepNumber": 1, "mailSubject": "Hello", "mailContent": "Shall we talk?"}
MAILBOX = {"sendLimit": 50, "sendStartTime": "09:00", "sendEndTime": "17:30"}


@dataclass
class Api:
    """A client of the API; `database` gives access to the rows behind it."""

    app: FastAPI
    database: Database
    runner: asyncio.Runner
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def request(self, method: str, path: str, **request: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
                return await client.request(method, path, **request)

        return self.runner.run(ask())

    def get(self, path: str, **request: Any) -> httpx.Response:
        return self.request("GET", path, **request)

    def post(self, path: str, body: Any = None, **request: Any) -> httpx.Response:
        return self.request("POST", path, **({} if body is None else {"json": body}), **request)

    def patch(self, path: str, body: Any, **request: Any) -> httpx.Response:
        return self.request("PATCH", path, json=body, **request)

    def delete(self, path: str, body: Any = None) -> httpx.Response:
        return self.request("DELETE", path, **({} if body is None else {"json": body}))

    def made(self, path: str, body: Any) -> dict[str, Any]:
        """Create a resource and return it."""
        response = self.post(path, body)
        assert response.status_code == 201, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def sequence(self, **fields: Any) -> dict[str, Any]:
        return self.made("/sequences", {"name": f"Sequence {next(self.numbers)}", "steps": [STEP]} | fields)

    def mailbox(self, **fields: Any) -> dict[str, Any]:
        address = f"mailbox{next(self.numbers)}@example.com"
        return self.made("/mailboxes", {"address": address} | MAILBOX | fields)

    def contact(self, **fields: Any) -> dict[str, Any]:
        address = f"contact{next(self.numbers)}@example.com"
        return self.made("/contacts", {"name": "Ada", "mailAddress": address} | fields)

    def enrolled(self, sequence: dict[str, Any], **fields: Any) -> dict[str, Any]:
        """Create a contact and enrol it."""
        contact = self.contact(**fields)
        report = self.made(f"/sequences/{sequence['id']}/contacts", {"contactIds": [contact["id"]]})
        assert report == {"enrolled": 1, "refused": []}
        return contact

    def enrolment(self, sequence: dict[str, Any], contact: dict[str, Any], **query: str) -> dict[str, Any]:
        listed = self.get(f"/sequences/{sequence['id']}/contacts", params=query).json()
        return next(one for one in listed if one["contactId"] == contact["id"])

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run one statement as the owner of the database; return its rows."""
        with self.database.connect() as connection:
            cursor = connection.execute(statement, values)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def key(self, table: str, shown: dict[str, Any]) -> int:
        """Return the internal id of a resource that the API has returned."""
        [(key,)] = self.sql(f"SELECT id FROM {table} WHERE external_id = %s", shown["id"])
        return int(key)

    def plan(
        self,
        sequence: dict[str, Any],
        contact: dict[str, Any],
        mailbox: dict[str, Any],
        *,
        step: int = 0,
        at: str = "2026-03-10 10:00Z",
        status: str = "planned",
    ) -> None:
        """Insert a row into `sends` for the step of the sequence with this index."""
        self.sql(
            """INSERT INTO sends (sequence_id, contact_id, step_id, round, mailbox_id, due_day, plan_day,
                   send_day, send_at, not_after, status)
               VALUES (%s, %s, %s, 1, %s, '2026-03-10', '2026-03-10', '2026-03-10', %s,
                   %s::timestamptz + interval '2 hours', %s)""",
            self.key("sequences", sequence),
            self.key("contacts", contact),
            self.key("steps", sequence["steps"][step]),
            self.key("mailboxes", mailbox),
            at,
            at,
            status,
        )


@pytest.fixture(scope="session")
def shared_api(postgres: Postgres, template: str) -> Iterator[Api]:
    """Return an API that is shared by all tests that do not depend on the data in it."""
    name = "shared_by_api_tests"
    postgres.create_database(name, template=template)
    urls = {role: postgres.url(f"sequence_{role}", name) for role in ROLES}
    app = create_app(ApiSettings(api_database_url=SecretStr(urls["api"])), clock=lambda: NOW)
    with asyncio.Runner() as runner:
        yield Api(app, Database(name=name, owner=postgres.url(OWNER, name), **urls), runner)
    app.state.database.close()
    postgres.drop_database(name)


@pytest.fixture
def api(database: Database, settings: Services) -> Iterator[Api]:
    app = create_app(settings.api, clock=lambda: NOW)
    with asyncio.Runner() as runner:
        yield Api(app, database, runner)
    app.state.database.close()
