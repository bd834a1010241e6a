"""Counts a worker's attempts by outcome and measures how late mails are sent, for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from sequence_store.domain.states import Outcome
from sequence_store.health import Health, serve

if TYPE_CHECKING:
    from wsgiref.simple_server import WSGIServer

    from sequence_store.settings import WorkerSettings

LATE_BUCKETS = (0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 7200)


class WorkerMetrics:
    """The metrics of one process; served if WORKER_METRICS_PORT is set."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._outcomes = Counter(
            "sequences_worker_sends", "Finished attempts by outcome", ("outcome",), registry=self.registry
        )
        for outcome in Outcome:
            self._outcomes.labels(outcome.value)
        self._active = Gauge(
            "sequences_worker_active_attempts", "Messages in progress", registry=self.registry
        )
        self._lateness = Histogram(
            "sequences_worker_send_lateness_seconds",
            "Seconds from the planned send time to the outcome sent",
            buckets=LATE_BUCKETS,
            registry=self.registry,
        )
        self._faults = Counter(
            "sequences_worker_unexpected_errors",
            "Attempts that ended in an unexpected error",
            registry=self.registry,
        )

    def started(self) -> None:
        self._active.inc()

    def stopped(self) -> None:
        self._active.dec()

    def ended(self, outcome: Outcome, late_seconds: float) -> None:
        self._outcomes.labels(outcome.value).inc()
        if outcome is Outcome.SENT:
            self._lateness.observe(max(0.0, late_seconds))

    def failed(self) -> None:
        self._faults.inc()

    def serve(self, settings: WorkerSettings, health: Health | None = None) -> WSGIServer | None:
        """Serve the metrics and the health from a separate thread, if WORKER_METRICS_PORT is set."""
        return serve(settings, self.registry, health)
