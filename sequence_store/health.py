"""Serves a process's health over HTTP, with its metrics: /healthz, /readyz and /metrics."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, Protocol
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

    from sequence_store.settings import HealthSettings

READY, NOT_READY = "200 OK", "503 Service Unavailable"


class Health(Protocol):
    """What /healthz and /readyz ask, each request in its own thread."""

    def is_alive(self) -> bool:
        """Return whether the process still works."""

    def parts(self) -> dict[str, bool]:
        """Return for each part that the process needs whether it is up."""


def serve(
    settings: HealthSettings, registry: CollectorRegistry, health: Health | None = None
) -> WSGIServer | None:
    """Serve from a separate thread until the process ends, if WORKER_METRICS_PORT is set.

    Without `health`, only the metrics are served.
    """
    if settings.worker_metrics_port is None:
        return None
    server = make_server(
        settings.worker_metrics_host,
        settings.worker_metrics_port,
        _application(registry, health),
        _Server,
        _SilentHandler,
    )
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server


def _application(registry: CollectorRegistry, health: Health | None) -> Callable[..., Iterable[bytes]]:
    metrics = make_wsgi_app(registry)

    def answer(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/healthz" if health:
                alive = health.is_alive()
                return _json(start, alive, {"status": "ok" if alive else "the process does not respond"})
            case "/readyz" if health:
                parts = health.parts()
                down = [part for part, up in parts.items() if not up]
                message = f"down: {', '.join(down)}" if down else "ready"
                states = {part: "up" if up else "down" for part, up in parts.items()}
                return _json(start, not down, {"message": message, "parts": states})
            case _:
                found: Iterable[bytes] = metrics(environ, start)
                return found

    return answer


def _json(start: StartResponse, good: bool, body: dict[str, Any]) -> list[bytes]:  # noqa: FBT001
    start(READY if good else NOT_READY, [("Content-Type", "application/json")])
    return [json.dumps(body).encode()]


class _Server(ThreadingMixIn, WSGIServer):
    """Answers each request in its own thread, so that a slow check delays no other."""

    daemon_threads = True


class _SilentHandler(WSGIRequestHandler):
    """Writes no line per request."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass
