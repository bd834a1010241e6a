"""Serves the API in this process."""

from __future__ import annotations

import json
from uuid import uuid4

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from crud_api import json_log
from crud_api.app import create_app
from crud_api.request_log import FIXED_HEADERS, REQUEST_ID
from sequence_store.settings import ApiSettings, read_settings

DRAIN_SECONDS = 20
NOT_HTTP = "The request is not valid HTTP, or its URL is longer than 65,535 characters."


class Http(HttpToolsProtocol):
    """HTTP protocol that responds in the API's error format also if a request cannot be parsed."""

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the message does not help a client
        body = json.dumps({"message": NOT_HTTP})
        headers = FIXED_HEADERS | {
            REQUEST_ID: uuid4().hex,
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
        lines = ["HTTP/1.1 400 Bad Request", *(f"{name}: {value}" for name, value in headers.items())]
        self.transport.write("\r\n".join([*lines, "", body]).encode())
        self.transport.close()


def serve(settings: ApiSettings | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then complete the requests in progress.

    Uvicorn's access log is off because it contains query strings; RequestLog logs each request.
    """
    settings = settings or read_settings(ApiSettings)
    json_log.configure()
    uvicorn.run(
        create_app(settings),
        host=settings.api_host,
        port=settings.api_port,
        http=Http,
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
