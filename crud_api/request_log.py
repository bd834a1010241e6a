"""Logs and counts each request, assigns its id, and responds with 500 to unexpected errors.

A log line contains the pattern of the route, never the requested URL: paths and queries contain personal
data. For the same reason an unexpected error is logged with its type and stack locations, without its text.
"""

from __future__ import annotations

import logging
import re
import time
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crud_api.json_log import error_locations
from crud_api.metrics import Metrics

log = logging.getLogger("crud_api.requests")

REQUEST_ID = "X-Request-Id"
NO_ROUTE = "(no route)"
FIXED_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
_GOOD_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestLog:
    """Middleware that assigns an id to each request, then times, counts and logs it.

    If a route fails, it responds with 500 and the request id.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        # A route works on a copy of the scope. With one shared dict, its changes are visible here.
        scope.setdefault("state", {})
        started = time.perf_counter()
        status: int | None = None

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update({**FIXED_HEADERS, REQUEST_ID: request_id})
            await send(message)

        try:
            with self._metrics.active():
                await self._app(scope, receive, send_with_headers)
        except Exception as error:  # noqa: BLE001 - any error of a route
            failure = {"request_id": request_id, "error": error_locations(error)}
            # Without the text of the error, which may contain an address.
            log.error("request failed", extra={"fields": failure})  # noqa: TRY400
            if status is not None:
                raise ConnectionAbortedError("the response was interrupted") from None
            await _internal_error(request_id)(scope, receive, send_with_headers)
        finally:
            seconds = time.perf_counter() - started
            self._metrics.record(scope["method"], _route(scope), status, seconds)
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
    """Return the client's id if it is valid, otherwise a new one."""
    given = Headers(scope=scope).get(REQUEST_ID, "")
    return given if _GOOD_ID.fullmatch(given) else uuid4().hex


def _route(scope: Scope) -> str:
    return getattr(scope.get("route"), "path_format", NO_ROUTE)


def _internal_error(request_id: str) -> JSONResponse:
    message = f"An internal error occurred. Report it with the request id {request_id}."
    return JSONResponse({"message": message, "requestId": request_id}, status_code=500)
