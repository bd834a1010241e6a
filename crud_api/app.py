"""Assembles the FastAPI application; to serve it, run `uvicorn --factory crud_api.app:create_app`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import CapacityLimiter
from fastapi import APIRouter, Depends, FastAPI
from fastapi_offline import FastAPIOffline

from crud_api import openapi
from crud_api.assignments.endpoints import router as assignments
from crud_api.body_limit import BodyLimit
from crud_api.conditional import NotModified
from crud_api.contacts.endpoints import router as contacts
from crud_api.database import Database
from crud_api.dependencies import Clock, utc_now
from crud_api.downloads import MOST_DOWNLOADS
from crud_api.enrolments.endpoints import of_contact as enrolments_of_contact
from crud_api.enrolments.endpoints import router as enrolments
from crud_api.events.endpoints import router as events
from crud_api.exception_handlers import add_exception_handlers
from crud_api.heads import HeadAsGet
from crud_api.health.endpoints import router as health
from crud_api.imports.endpoints import router as imports
from crud_api.imports.receiving import MOST_RECEIVED
from crud_api.keys import ALSO_REQUIRED, KeyRequired, scopes_of
from crud_api.mailboxes.endpoints import router as mailboxes
from crud_api.manual.site import Manual
from crud_api.metrics import Metrics
from crud_api.rate_limit import RateLimit
from crud_api.request_log import RequestLog
from crud_api.sends.endpoints import router as sends
from crud_api.sequences.endpoints import router as sequences
from crud_api.stats.endpoints import router as stats
from crud_api.steps.endpoints import router as steps
from crud_api.suppressions.endpoints import router as suppressions
from crud_api.tracking.endpoints import router as tracking
from crud_api.webhooks.endpoints import router as webhooks
from sequence_store.secrets.at_rest import SecretBox
from sequence_store.settings import ApiSettings, read_settings

log = logging.getLogger("crud_api")

# Each route of these routers requires an API key. Its tag and method determine the required scope.
KEYED: tuple[APIRouter, ...] = (
    sequences,
    steps,
    mailboxes,
    imports,  # before contacts: /contacts/export must match before /contacts/{contact_id}
    contacts,
    assignments,
    enrolments,
    enrolments_of_contact,
    sends,
    events,
    stats,
    webhooks,
    suppressions,
)
OPEN: tuple[APIRouter, ...] = (health, tracking)


def create_app(settings: ApiSettings | None = None, *, clock: Clock = utc_now) -> FastAPI:
    """Create the application. Without `settings`, read them from the environment.

    Raise SettingsError if a setting is missing or invalid.
    """
    settings = settings or read_settings(ApiSettings)
    if not settings.keys_needed:
        log.warning("API_AUTH is off: requests need no API key; bind the API to loopback addresses only")
    app = FastAPIOffline(  # serves the scripts of /docs itself, so that /docs works without internet access
        title=openapi.TITLE,
        description=openapi.DESCRIPTION,
        version="1",
        openapi_tags=openapi.TAGS,
        generate_unique_id_function=openapi.operation_id,
        lifespan=_close_database_at_exit,
    )
    app.state.settings = settings
    app.state.clock = clock
    app.state.database = Database(settings)
    app.state.metrics = Metrics(app.state.database.pool)
    app.state.rate_limit = RateLimit(settings)
    app.state.secrets = SecretBox.of(settings)
    app.state.downloads = asyncio.Semaphore(
        min(MOST_DOWNLOADS, max(1, settings.api_database_connections // 2))
    )
    app.state.receiving = CapacityLimiter(MOST_RECEIVED)
    key = Depends(KeyRequired())
    for router in KEYED:
        app.include_router(router, dependencies=[key])
    for router in OPEN:
        app.include_router(router)
    openapi.extend_document(app, scopes_of, ALSO_REQUIRED)
    add_exception_handlers(app)
    app.add_middleware(BodyLimit)
    app.add_middleware(NotModified)
    app.add_middleware(Manual)
    app.add_middleware(HeadAsGet)
    app.add_middleware(RequestLog, metrics=app.state.metrics)
    return app


@asynccontextmanager
async def _close_database_at_exit(app: FastAPI) -> AsyncIterator[None]:
    yield
    app.state.database.close()
