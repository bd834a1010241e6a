"""Traces of sends, exported over OTLP if OTEL_EXPORTER_OTLP_ENDPOINT is set."""
