"""Reads and writes webhooks. The secret is write-only: the database role of the API may not read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, insert, select, update

from crud_api.paging import Page, read_page
from crud_api.tables import AnyRow, feed, webhooks
from crud_api.webhooks.schemas import WebhookQuery

LIVE = webhooks.c.deleted_at.is_(None)
SHOWN = (
    webhooks.c.id.label("row_key"),
    webhooks.c.external_id.label("id"),
    webhooks.c.url,
    webhooks.c.kinds,
    webhooks.c.is_active,
    webhooks.c.cursor_position.label("position"),
    webhooks.c.failures,
    webhooks.c.failing_since,
    webhooks.c.next_attempt_at,
    webhooks.c.last_error,
    webhooks.c.delivered_at,
    webhooks.c.switched_off_at,
    webhooks.c.previous_until.label("previous_secret_until"),
    webhooks.c.test_result,
    webhooks.c.tested_at,
    webhooks.c.created.label("created_at"),
    webhooks.c.updated.label("last_updated_at"),
)


def add(connection: Connection, values: Mapping[str, Any]) -> AnyRow:
    """Add a webhook that gets the events from now on."""
    position = select(feed.c.last_position).scalar_subquery()
    statement = insert(webhooks).values(**values, cursor_position=position)
    return connection.execute(statement.returning(*SHOWN)).one()


def count(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(webhooks).where(LIVE)).scalar_one()


def read(connection: Connection, query: WebhookQuery) -> Page[AnyRow]:
    return read_page(connection, select(*SHOWN).where(LIVE), query, key=webhooks.c.id)


def find(connection: Connection, webhook: UUID, *, lock: bool = False) -> AnyRow | None:
    statement = select(*SHOWN).where(webhooks.c.external_id == webhook, LIVE)
    return connection.execute(statement.with_for_update() if lock else statement).first()


def change(connection: Connection, webhook: UUID, values: Mapping[str, Any]) -> AnyRow | None:
    statement = update(webhooks).where(webhooks.c.external_id == webhook, LIVE)
    return connection.execute(statement.values(**values).returning(*SHOWN)).first()


def rotate(connection: Connection, webhook: UUID, secret: str) -> AnyRow | None:
    """Replace the secret; the previous one signs for another day, too."""
    connection.execute(select(func.rotate_webhook_secret(webhook, secret)))
    return find(connection, webhook)


def request_test(connection: Connection, webhook: UUID) -> AnyRow | None:
    return change(
        connection,
        webhook,
        {"test_requested_at": func.now(), "test_result": None, "tested_at": None},
    )


def delete(connection: Connection, webhook: UUID) -> bool:
    statement = update(webhooks).where(webhooks.c.external_id == webhook, LIVE)
    return connection.execute(statement.values(deleted_at=func.now())).rowcount > 0
