"""Command `sequences api`: serves the Sequence API."""

from __future__ import annotations


def serve() -> None:
    """Serve the Sequence API at API_HOST and API_PORT until SIGTERM."""
    from sequence_store.settings import ApiSettings, read_settings, refuse_default_passwords

    settings = read_settings(ApiSettings)  # before the imports: a missing one is reported at once
    refuse_default_passwords(settings)

    from crud_api import server

    server.serve(settings)
