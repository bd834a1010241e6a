"""One line a request, an id that the client can name, and the answer when nothing else knows one.

A line holds the route's pattern, never the address that was asked for: paths and queries hold people's data.
For the same reason an unexpected error is logged with its kind and its places, not with its text.
"""

from __future__ import annotations

import logging
import re
import time
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crud_api.json_log import places
from crud_api.metrics import Metrics

log = logging.getLogger("crud_api.requests")

REQUEST_ID = "X-Request-Id"
NO_ROUTE = "(no route)"
ALWAYS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
_GOOD_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestLog:
    """Names, times, counts and logs each request; answers 500 with the request's id where a route failed."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault(
            "state", {}
        )  # one for all that handle the request: a route works on a copy of its scope
        started = time.perf_counter()
        status: int | None = None

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update({**ALWAYS, REQUEST_ID: request_id})
            await send(message)

        try:
            with self._metrics.active():
                await self._app(scope, receive, send_with_headers)
        except Exception as error:  # noqa: BLE001 - whatever a route fails with
            failure = {"request_id": request_id, "error": places(error)}
            log.error("request failed", extra={"fields": failure})  # noqa: TRY400 - the text may hold an address
            if status is not None:
                raise ConnectionAbortedError("the answer broke off") from None
            await _sorry(request_id)(scope, receive, send_with_headers)
        finally:
            seconds = time.perf_counter() - started
            self._metrics.answered(scope["method"], _route(scope), status, seconds)
            log.info("request", extra={"fields": _fields(scope, request_id, status, seconds)})


def _fields(scope: Scope, request_id: str, status: int | None, seconds: float) -> dict[str, object]:
    return {
        "request_id": request_id,
        "method": scope["method"],
        "route": _route(scope),
        "status": status,
        "duration_ms": round(seconds * 1000, 1),
        "key_id": scope["state"].get("key_id"),
    }


def _request_id(scope: Scope) -> str:
    """Take the client's id where it is a plain word."""
    given = Headers(scope=scope).get(REQUEST_ID, "")
    return given if _GOOD_ID.fullmatch(given) else uuid4().hex


def _route(scope: Scope) -> str:
    return getattr(scope.get("route"), "path_format", NO_ROUTE)


def _sorry(request_id: str) -> JSONResponse:
    message = f"Something failed on our side. Tell us the request id {request_id}."
    return JSONResponse({"message": message, "requestId": request_id}, status_code=500)
