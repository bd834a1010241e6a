"""Defines the dependencies of routes: database, settings, secrets, planning day and key id.

`create_app` creates the shared objects once.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Annotated

from fastapi import Depends, Request

from crud_api.database import Database
from sequence_store.secrets.at_rest import SecretBox
from sequence_store.settings import ApiSettings

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


async def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


async def _settings(request: Request) -> ApiSettings:
    settings: ApiSettings = request.app.state.settings
    return settings


async def _secrets(request: Request) -> SecretBox:
    secrets: SecretBox = request.app.state.secrets
    return secrets


async def _today(request: Request) -> date:
    """Return the current planning day."""
    today: date = request.app.state.settings.calendar.day_of(request.app.state.clock())
    return today


async def _key_id(request: Request) -> int:
    """Return the id of the API key of the request, or 0 if API_AUTH is off."""
    key_id: int = request.state.key_id
    return key_id


Store = Annotated[Database, Depends(_database)]
Settings = Annotated[ApiSettings, Depends(_settings)]
Secrets = Annotated[SecretBox, Depends(_secrets)]
Today = Annotated[date, Depends(_today)]
KeyId = Annotated[int, Depends(_key_id)]
