"""Serves the API in this process."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import json
import socket
import sys
from contextlib import suppress
from types import FrameType
from uuid import uuid4

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from crud_api import json_log
from crud_api.app import create_app
from crud_api.request_log import FIXED_HEADERS, REQUEST_ID
from sequence_store.settings import ApiSettings, read_settings

DRAIN_SECONDS = 20  # after a signal, for requests in progress
END_SECONDS = 25  # after a signal, for the process, whatever hangs
IDLE_SECONDS = 10  # from the connection, or the end of a response, to the end of the next request's headers
STALLED_SECONDS = 60  # in which a client has to take a part of the response
KEEPALIVES = {
    socket.TCP_KEEPIDLE: 20,
    socket.TCP_KEEPINTVL: 10,
    socket.TCP_KEEPCNT: 3,
    socket.TCP_USER_TIMEOUT: 50_000,  # milliseconds
}
STARTUP_FAILED = 3
NOT_HTTP = "The request is not valid HTTP, or its URL is longer than 65,535 characters."


class Http(HttpToolsProtocol):
    """HTTP protocol that closes idle and stalled connections, and responds to everything in the API's format.

    Uvicorn limits only the time in which a connection without any data stays open after a response. Here a
    client has IDLE_SECONDS to send the headers of its next request, however slowly it sends them, and
    STALLED_SECONDS to take a part of the response. TCP keepalives find clients that are gone without a word.
    """

    _idle: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None
    _unsent = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEPALIVES.items():
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
        self._await_request()

    def on_headers_complete(self) -> None:
        self._cancel(self._idle)
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete:  # otherwise a pipelined request follows
            self._await_request()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(STALLED_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        self._cancel(self._stalled)
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel(self._idle)
        self._cancel(self._stalled)
        super().connection_lost(exc)

    def _await_request(self) -> None:
        self._cancel(self._idle)
        self._unsent = self.transport.get_write_buffer_size()
        self._idle = self.loop.call_later(IDLE_SECONDS, self._end_idle_connection)

    def _end_idle_connection(self) -> None:
        """Abort the connection, unless its client still takes the last response."""
        if 0 < self.transport.get_write_buffer_size() < self._unsent:
            self._await_request()
        else:
            self.transport.abort()

    @staticmethod
    def _cancel(timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()

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


class Server(uvicorn.Server):
    """A server that ends END_SECONDS after a signal at the latest, even if a thread or the loop hangs."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self.should_exit:  # the first signal
            # A thread that needs no lock of the interpreter prints where each thread is, and exits.
            faulthandler.dump_traceback_later(END_SECONDS, exit=True)
        super().handle_exit(sig, frame)


def serve(settings: ApiSettings | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then complete the requests in progress within DRAIN_SECONDS.

    Uvicorn's access log is off because it contains query strings; RequestLog logs each request.
    """
    settings = settings or read_settings(ApiSettings)
    json_log.configure()
    config = uvicorn.Config(
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
    server = Server(config)
    gc.collect()
    gc.freeze()  # a collection of all that was imported would stop a request for a tenth of a second
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(STARTUP_FAILED)
