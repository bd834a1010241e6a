"""Serves the API in this process."""

from __future__ import annotations

import uvicorn

from crud_api import json_log
from crud_api.app import create_app
from sequence_store.settings import ApiSettings, read_settings

DRAIN_SECONDS = 20


def serve(settings: ApiSettings | None = None) -> None:
    """Serve until SIGTERM or SIGINT, finishing what has begun. One log: uvicorn's own would hold queries."""
    settings = settings or read_settings(ApiSettings)
    json_log.configure()
    uvicorn.run(
        create_app(settings),
        host=settings.api_host,
        port=settings.api_port,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
