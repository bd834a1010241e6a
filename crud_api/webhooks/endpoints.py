"""Defines the routes for webhooks."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from crud_api.dependencies import Secrets, Settings, Store
from crud_api.idempotency import Idempotent
from crud_api.json_body import JsonRoute
from crud_api.openapi import error_responses
from crud_api.responses import IfMatch, json_response, model_response, to_json_bytes
from crud_api.webhooks import service
from crud_api.webhooks.schemas import Webhook, WebhookChanges, WebhookCreate, WebhookQuery, WebhookWithSecret

router = APIRouter(prefix="/webhooks", tags=["webhooks"], route_class=JsonRoute)


@router.post(
    "",
    status_code=201,
    summary="Create a webhook",
    response_model=WebhookWithSecret,
    responses=error_responses(409, 413),
)
def create_webhook(
    body: WebhookCreate, idempotent: Idempotent, secrets: Secrets, settings: Settings
) -> Response:
    """Send the events from now on to a URL, signed as Standard Webhooks says.

    The `secret` is in this response only; it is stored encrypted. The program `sequences webhooks` sends.
    """
    return idempotent.create(
        lambda connection: service.create(connection, body, secrets, settings), stored=service.without_secret
    )


@router.get("", summary="List webhooks", response_model=list[Webhook], responses=error_responses())
def list_webhooks(query: Annotated[WebhookQuery, Query()], store: Store) -> Response:
    with store.reading() as connection:
        return service.read(connection, query).response()


@router.get("/{webhook_id}", summary="Get a webhook", response_model=Webhook, responses=error_responses(404))
def get_webhook(webhook_id: UUID, store: Store) -> Response:
    with store.reading() as connection:
        return model_response(service.find(connection, webhook_id))


@router.patch(
    "/{webhook_id}",
    summary="Change a webhook",
    response_model=Webhook,
    responses=error_responses(404, 412, 413),
)
def change_webhook(
    webhook_id: UUID, body: WebhookChanges, store: Store, settings: Settings, match: IfMatch
) -> Response:
    """Change only the fields in the body. `isActive: true` lets it go on after the last delivered event."""
    with store.transaction() as connection:
        match.require(lambda: service.find(connection, webhook_id, lock=True))
        return model_response(service.change(connection, webhook_id, body, settings))


@router.delete(
    "/{webhook_id}", status_code=204, summary="Delete a webhook", responses=error_responses(404, 412)
)
def delete_webhook(webhook_id: UUID, store: Store, match: IfMatch) -> None:
    with store.transaction() as connection:
        match.require(lambda: service.find(connection, webhook_id, lock=True))
        service.delete(connection, webhook_id)


@router.post(
    "/{webhook_id}/rotateSecret",
    summary="Rotate a webhook's secret",
    response_model=WebhookWithSecret,
    responses=error_responses(404),
)
def rotate_webhook_secret(webhook_id: UUID, store: Store, secrets: Secrets) -> Response:
    """Return a new secret. For 24 hours each message has a signature by the previous one, too."""
    with store.transaction() as connection:
        return model_response(service.rotate(connection, webhook_id, secrets))


@router.post(
    "/{webhook_id}/test",
    status_code=202,
    summary="Send a test event",
    response_model=Webhook,
    responses=error_responses(404),
)
def test_webhook(webhook_id: UUID, store: Store) -> Response:
    """Send an event of the type `test`, without a position, also to an inactive webhook.

    `testResult` of the webhook shows what came of it, within seconds.
    """
    with store.transaction() as connection:
        return json_response(to_json_bytes(service.request_test(connection, webhook_id)), 202)
