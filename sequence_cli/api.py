"""`sequences api`: the Sequence API."""

from __future__ import annotations


def serve() -> None:
    """Serve the Sequence API at API_HOST and API_PORT until SIGTERM."""
    from sequence_store.settings import ApiSettings, read_settings

    settings = read_settings(ApiSettings)  # first, so that a missing one is told at once

    from crud_api import server

    server.serve(settings)
