"""Fixtures: a receiver of webhooks on loopback, which a test makes slow, failing, redirecting or gone."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from local_stack.ports import LOOPBACK
from tests.crud_api.conftest import Api, api  # noqa: F401

__all__ = ["Api"]


@dataclass
class Receiver:
    """What it received, and how it answers; `?slow` in the URL lets its answer drip."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    body: bytes = b"ok"
    messages: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""

    @property
    def positions(self) -> list[int]:
        return [json.loads(body)["position"] for _, body in self.messages]


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(receiver.delay)
            receiver.messages.append(({k.lower(): v for k, v in self.headers.items()}, body))
            try:
                self.send_response(receiver.status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                drips = self.path.endswith("?slow")
                for byte in receiver.body if drips else ():
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    time.sleep(0.1)
                if not drips:
                    self.wfile.write(receiver.body)
            except OSError:
                return

        def log_message(self, *_: Any) -> None:
            return

    return Handler


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    server = ThreadingHTTPServer((LOOPBACK, 0), _handler(found))
    server.daemon_threads = True
    found.url = f"http://{LOOPBACK}:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
