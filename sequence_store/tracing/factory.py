"""Opens the traces of a program: OTLP if an endpoint is set, otherwise none."""

from __future__ import annotations

from sequence_store.settings import Settings
from sequence_store.tracing.traces import OFF, Traces


def open_traces(settings: Settings, service: str) -> Traces:
    """Return the traces of the program `service`; the caller stops them when the program ends."""
    if not settings.otel_exporter_otlp_endpoint:
        return OFF
    from sequence_store.tracing.otlp import OtlpTraces  # imports OpenTelemetry, which takes time and memory

    return OtlpTraces(settings, settings.otel_exporter_otlp_endpoint, service)
