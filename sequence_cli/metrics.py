"""Command `sequences metrics`: exposes the system state to Prometheus."""

from __future__ import annotations

from datetime import UTC, datetime


def metrics() -> None:
    """Serve metrics of plan, dispatch, results and queues at METRICS_HOST and METRICS_PORT until SIGTERM."""
    from sequence_store.settings import ObserverSettings, read_settings

    settings = read_settings(ObserverSettings)  # before the imports: a missing one is reported at once

    import signal
    from threading import Event

    from prometheus_client import CollectorRegistry, start_http_server

    from sequence_cli.state_metrics import StateCollector
    from sequence_cli.system_state import read_state

    ended = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    registry = CollectorRegistry()
    registry.register(StateCollector(lambda: read_state(settings, datetime.now(UTC))))
    server, thread = start_http_server(settings.metrics_port, settings.metrics_host, registry=registry)
    ended.wait()
    server.shutdown()
    thread.join()
