"""Traces of sends; records nothing unless tracing is switched on."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg

from sequence_store.tracing.factory import open_traces
from sequence_store.tracing.traces import Traces


@dg.resource(
    required_resource_keys={"settings"}, description="Traces of sends (OpenTelemetry), off by default"
)
def pipeline_traces(context: dg.InitResourceContext) -> Iterator[Traces]:
    traces = open_traces(context.resources.settings, "sequence-pipelines")
    try:
        yield traces
    finally:
        traces.stop()
