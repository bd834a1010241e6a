"""What Prometheus reads of a worker: attempts by outcome, how long they took, how late mails left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from sequence_store.domain.states import Outcome

if TYPE_CHECKING:
    from wsgiref.simple_server import WSGIServer

    from sequence_store.settings import WorkerSettings

LATE_BUCKETS = (0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 7200)


class WorkerMetrics:
    """One process's numbers; they are served where WORKER_METRICS_PORT is set."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._outcomes = Counter(
            "sequences_worker_sends", "Attempts that ended, by outcome", ("outcome",), registry=self.registry
        )
        for outcome in Outcome:
            self._outcomes.labels(outcome.value)
        self._active = Gauge(
            "sequences_worker_active_attempts", "Messages that are being handled", registry=self.registry
        )
        self._lateness = Histogram(
            "sequences_worker_send_lateness_seconds",
            "From a mail's second to its outcome sent",
            buckets=LATE_BUCKETS,
            registry=self.registry,
        )
        self._faults = Counter(
            "sequences_worker_unexpected_errors",
            "Attempts that ended in an error of ours",
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

    def serve(self, settings: WorkerSettings) -> WSGIServer | None:
        """Serve `/metrics` from a thread of its own until the process ends, if a port is set."""
        if settings.worker_metrics_port is None:
            return None
        port, host = settings.worker_metrics_port, settings.worker_metrics_host
        return start_http_server(port, host, registry=self.registry)[0]
