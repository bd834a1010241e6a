"""Traces of sends, from the plan to the result: off unless OTEL_EXPORTER_OTLP_ENDPOINT is set.

A send's trace id is a hash of its key, so every program knows it and no message carries it. The parts of a send's way are
hours apart and in several programs: each is a root of its own in the one trace. Spans hold ids, times and outcomes: no
address, no secret, no text of an error.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

from sequence_store.domain.messages import SendKey
from sequence_store.settings import Settings


class Traces:
    """Where spans go. This one keeps none: tracing is off, and costs nothing."""

    def span(  # the names are the interface
        self,
        name: str,  # noqa: ARG002
        key: SendKey | None = None,  # noqa: ARG002
        **attributes: object,  # noqa: ARG002
    ) -> AbstractContextManager[None]:
        """Time what is done within: as a part of the span around it, or, with a key, in that send's trace."""
        return nullcontext()

    def note(self, **attributes: object) -> None:
        """Say more of the span that is around."""

    def of_sends(self, name: str, keys: Iterable[SendKey], began: int) -> None:
        """Tell what was done to many sends at once, from `began` (`time.time_ns()`) until now, each in its trace."""

    def stop(self) -> None:
        """Hand over what is not handed over yet; takes seconds where the collector is silent."""


OFF = Traces()


def open_traces(settings: Settings, service: str) -> Traces:
    """Return where the spans of the program `service` go; stop it at the program's end."""
    if not settings.otel_exporter_otlp_endpoint:
        return OFF
    from sequence_store.tracing.otlp import OtlpTraces  # loads OpenTelemetry

    return OtlpTraces(settings, settings.otel_exporter_otlp_endpoint, service)
