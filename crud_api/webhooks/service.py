"""Creates, reads, changes, tests and deletes webhooks."""

from __future__ import annotations

import base64
import secrets as random
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from crud_api.errors import ConflictError, InvalidInputError, NotFoundError
from crud_api.paging import Page
from crud_api.tables import AnyRow
from crud_api.webhooks import repository
from crud_api.webhooks.schemas import Webhook, WebhookChanges, WebhookCreate, WebhookQuery, WebhookWithSecret
from sequence_store.secrets.at_rest import SecretBox
from sequence_store.settings import LOCAL, ApiSettings
from sequence_store.webhook_urls import check_url

MOST = 50  # each has its own cursor, and its own request a message
SECRET_BYTES = 32
STARTS_AGAIN: dict[str, Any] = {
    "failures": 0,
    "failing_since": None,
    "next_attempt_at": None,
    "last_error": None,
    "switched_off_at": None,
}


def create(
    connection: Connection, body: WebhookCreate, secrets: SecretBox, settings: ApiSettings
) -> WebhookWithSecret:
    """Add a webhook that gets the events from now on; return it with its secret."""
    _check(body.url, settings)
    if repository.count(connection) >= MOST:
        raise ConflictError(f"There are {MOST} webhooks already. Delete one first.")
    secret = _new_secret()
    values = {"url": body.url, "kinds": body.kinds, "secret": secrets.seal(secret)}
    return WebhookWithSecret.of(repository.add(connection, values), secret=secret)


def without_secret(created: WebhookWithSecret) -> WebhookWithSecret:
    """Return what is stored for a repeated request: secrets are stored encrypted only."""
    return created.model_copy(update={"secret": None})


def read(connection: Connection, query: WebhookQuery) -> Page[Webhook]:
    page = repository.read(connection, query)
    return page.with_items([Webhook.of(row) for row in page.items])


def find(connection: Connection, webhook: UUID, *, lock: bool = False) -> Webhook:
    return Webhook.of(_found(repository.find(connection, webhook, lock=lock), webhook))


def change(connection: Connection, webhook: UUID, body: WebhookChanges, settings: ApiSettings) -> Webhook:
    changes = body.changes()
    for name in ("url", "is_active"):
        if name in changes and changes[name] is None:
            raise InvalidInputError(f"{'isActive' if name == 'is_active' else name}: must not be null")
    if "url" in changes:
        _check(changes["url"], settings)
    if changes.get("is_active"):
        changes |= STARTS_AGAIN
    if not changes:
        return find(connection, webhook)
    return Webhook.of(_found(repository.change(connection, webhook, changes), webhook))


def rotate(connection: Connection, webhook: UUID, secrets: SecretBox) -> WebhookWithSecret:
    """Give the webhook a new secret; for 24 hours the previous one signs, too."""
    secret = _new_secret()
    row = _found(repository.rotate(connection, webhook, secrets.seal(secret)), webhook)
    return WebhookWithSecret.of(row, secret=secret)


def request_test(connection: Connection, webhook: UUID) -> Webhook:
    return Webhook.of(_found(repository.request_test(connection, webhook), webhook))


def delete(connection: Connection, webhook: UUID) -> None:
    if not repository.delete(connection, webhook):
        raise _not_found(webhook)


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(random.token_bytes(SECRET_BYTES)).decode()


def _check(url: str, settings: ApiSettings) -> None:
    try:
        check_url(url, local=settings.sequence_environment == LOCAL)
    except ValueError as error:
        raise InvalidInputError(f"url: {error}") from None


def _found(row: AnyRow | None, webhook: UUID) -> AnyRow:
    if row is None:
        raise _not_found(webhook)
    return row


def _not_found(webhook: UUID) -> NotFoundError:
    return NotFoundError(f"No webhook has the id {webhook}.")
