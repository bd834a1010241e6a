"""Serves a process's health over HTTP, with its metrics: /healthz, /readyz and /metrics."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import CancelledError
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

    from sequence_store.settings import WorkerSettings

ANSWER_SECONDS = 4.0
READY, NOT_READY = "200 OK", "503 Service Unavailable"

Check = Callable[[], Awaitable[bool]]


class Health:
    """What a process needs to work, each part up or down. Create it inside a running event loop.

    The process notes the state of a part (`note`), or gives a check that each request of /readyz makes.
    """

    def __init__(self, *parts: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._noted = dict.fromkeys(parts, False)
        self._checks: dict[str, Check] = {}

    def note(self, part: str, *, up: bool) -> None:
        self._noted[part] = up

    def check(self, part: str, check: Check) -> None:
        self._checks[part] = check

    def is_alive(self) -> bool:
        """Return whether the event loop responds. Call it from another thread."""
        return self._answer(_nothing) is not None

    def parts(self) -> dict[str, bool]:
        """Return the state of each part. Call it from another thread than the event loop's."""
        checked = {part: bool(self._answer(check)) for part, check in self._checks.items()}
        return {**self._noted, **checked}

    def _answer(self, check: Check) -> bool | None:
        """Return the check's answer, or None if there was none in time."""
        asked = asyncio.run_coroutine_threadsafe(_called(check), self._loop)
        try:
            return asked.result(ANSWER_SECONDS)
        except (TimeoutError, CancelledError):
            asked.cancel()
            return None


def serve(
    settings: WorkerSettings, registry: CollectorRegistry, health: Health | None = None
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
                return _json(start, alive, {"status": "ok" if alive else "the event loop does not respond"})
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


async def _called(check: Check) -> bool:
    return await check()


async def _nothing() -> bool:
    return True


class _Server(ThreadingMixIn, WSGIServer):
    """Answers each request in its own thread, so that a slow check delays no other."""

    daemon_threads = True


class _SilentHandler(WSGIRequestHandler):
    """Writes no line per request."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass
