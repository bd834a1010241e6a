"""Exports spans to a collector over OTLP/HTTP, in a thread of OpenTelemetry's SDK."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import DEFAULT_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    get_current_span,
    use_span,
)

from sequence_store.domain.messages import SendKey
from sequence_store.settings import Settings
from sequence_store.tracing.traces import Traces

KINDS = {"dispatch": SpanKind.PRODUCER, "send": SpanKind.CONSUMER, "smtp": SpanKind.CLIENT}
HALF = 2**64  # sampling compares the lower 64 bits of the trace id, as OpenTelemetry's samplers do
FLUSH_EVERY = 1000  # spans; the SDK's queue drops spans above 2,048


class OtlpTraces(Traces):
    """Records the share OTEL_TRACES_SAMPLER_ARG of the sends.

    The trace id decides, so every program keeps or drops the same sends.
    """

    def __init__(self, settings: Settings, endpoint: str, service: str) -> None:
        resource = {"service.name": service, "deployment.environment.name": settings.sequence_environment}
        self._environment = settings.sequence_environment
        self._bound = round(settings.otel_traces_sampler_arg * HALF)
        self._provider = TracerProvider(
            sampler=DEFAULT_ON,
            resource=Resource.create(resource),
            id_generator=_Ids(),
            shutdown_on_exit=False,
        )
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("sequence_store.tracing.traces")

    @contextmanager
    def span(self, name: str, key: SendKey | None = None, **attributes: object) -> Iterator[None]:
        span = self._begun(name, key, _named(attributes))
        try:
            with use_span(span, record_exception=False, set_status_on_exception=False):
                yield
        except Exception as error:
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise
        finally:
            span.end()

    def note(self, **attributes: object) -> None:
        get_current_span().set_attributes(_named(attributes))

    def of_sends(self, name: str, keys: Iterable[SendKey], began: int) -> None:
        ended = time.time_ns()
        around = get_current_span().get_span_context()
        links = [Link(around)] if around.is_valid else []
        kept = (
            (key, trace_id) for key in keys if self._keeps(trace_id := trace_id_of(key, self._environment))
        )
        for number, (key, trace_id) in enumerate(kept, 1):
            self._root(name, trace_id, _named(key._asdict()), links=links, start_time=began).end(ended)
            if number % FLUSH_EVERY == 0:
                self._provider.force_flush()

    def stop(self) -> None:
        self._provider.shutdown()

    def _begun(self, name: str, key: SendKey | None, attributes: dict[str, str | int | float]) -> Span:
        if key is None:
            return self._tracer.start_span(name, kind=_kind(name), attributes=attributes)
        trace_id = trace_id_of(key, self._environment)
        if not self._keeps(trace_id):
            return NonRecordingSpan(SpanContext(trace_id, 1, is_remote=False, trace_flags=TraceFlags(0)))
        return self._root(name, trace_id, attributes | _named(key._asdict()))

    def _root(
        self,
        name: str,
        trace_id: int,
        attributes: dict[str, str | int | float],
        *,
        links: list[Link] | None = None,
        start_time: int | None = None,
    ) -> Span:
        token = _next_trace.set(trace_id)
        try:
            return self._tracer.start_span(
                name, Context(), _kind(name), attributes, links or (), start_time=start_time
            )
        finally:
            _next_trace.reset(token)

    def _keeps(self, trace_id: int) -> bool:
        return trace_id % HALF < self._bound


def trace_id_of(key: SendKey, environment: str) -> int:
    """Return the trace id of a send; it is the same in all programs of a deployment."""
    name = ".".join([environment, *map(str, key)]).encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=16, person=b"trace").digest())


_next_trace: ContextVar[int | None] = ContextVar("next_trace", default=None)


class _Ids(RandomIdGenerator):
    """Generates ids; a span of a send gets the trace id of the send."""

    def generate_trace_id(self) -> int:
        return _next_trace.get() or super().generate_trace_id()


def _kind(name: str) -> SpanKind:
    return KINDS.get(name, SpanKind.INTERNAL)


def _named(attributes: dict[str, object]) -> dict[str, str | int | float]:
    """Return the attributes that are not None, with the product's prefix."""
    return {
        f"sequences.{name}": value if isinstance(value, (int, float)) else str(value)
        for name, value in attributes.items()
        if value is not None
    }
