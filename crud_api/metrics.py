"""Collects Prometheus metrics of one process, named by OpenTelemetry's semantic conventions."""

from __future__ import annotations

from contextlib import AbstractContextManager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from sqlalchemy import QueuePool

CONTENT_TYPE = CONTENT_TYPE_LATEST
METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE", "PUT", "OPTIONS"})


class Metrics:
    """The metrics of one process. Routes are labelled by pattern: no label contains an id or an address."""

    def __init__(self, pool: QueuePool) -> None:
        self._registry = CollectorRegistry()
        self._duration = Histogram(
            "http_server_request_duration_seconds",
            "Time from the start of a request to the end of its response",
            ("http_request_method", "http_route", "http_response_status_code"),
            registry=self._registry,
        )
        self._active = Gauge("http_server_active_requests", "Requests in progress", registry=self._registry)
        self._refused = Counter(
            "http_server_rate_limited_requests", "Requests rejected with 429", registry=self._registry
        )
        connections = Gauge(
            "db_client_connection_count",
            "Connections in the pool, by state",
            ("state",),
            registry=self._registry,
        )
        connections.labels("used").set_function(lambda: float(pool.checkedout()))
        connections.labels("idle").set_function(lambda: float(pool.checkedin()))
        most = Gauge(
            "db_client_connection_max", "Maximum number of connections in the pool", registry=self._registry
        )
        most.set_function(lambda: float(pool.size()))

    def active(self) -> AbstractContextManager[None]:
        return self._active.track_inprogress()

    def record(self, method: str, route: str, status: int | None, seconds: float) -> None:
        label = method if method in METHODS else "_OTHER"
        self._duration.labels(label, route, str(status or "")).observe(seconds)
        if status == 429:  # noqa: PLR2004
            self._refused.inc()

    def text(self) -> bytes:
        return generate_latest(self._registry)
