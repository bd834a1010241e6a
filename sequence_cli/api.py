"""`sequences api`: the Sequence API."""

from __future__ import annotations


def serve() -> None:
    """Serve the Sequence API at API_HOST and API_PORT."""
    import uvicorn

    from sequence_store.settings import ApiSettings, read_settings

    settings = read_settings(ApiSettings)
    uvicorn.run(
        "crud_api.app:create_app",
        factory=True,
        host=settings.api_host,
        port=settings.api_port,
        access_log=False,
    )
