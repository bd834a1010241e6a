"""Traces of sends: a collector receives the spans of a send, from plan to result, under one trace id."""

from __future__ import annotations

import gzip
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from typer.testing import CliRunner

from local_stack.processes import wait_until
from sequence_cli.main import app
from sequence_store.domain.messages import SendKey
from sequence_store.tracing.factory import open_traces
from sequence_store.tracing.traces import OFF
from tests.faults.conftest import Chain, chain  # noqa: F401
from tests.pipelines.test_assets import instance, run  # noqa: F401


@pytest.fixture
def world(chain: Chain) -> Any:  # noqa: F811
    return chain.world


@dataclass
class Collector:
    """An OTLP/HTTP receiver on loopback that keeps what it receives."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)

    def spans(self) -> list[tuple[str, Any]]:
        """Return every span with the name of its service."""
        found = []
        for body in self.bodies:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                named = {one.key: one.value.string_value for one in resource.resource.attributes}
                for scope in resource.scope_spans:
                    found += [(named["service.name"], span) for span in scope.spans]
        return found

    def trace_of(self, name: str) -> dict[str, Any]:
        """Return the spans, by name, of the trace of the first span `name`."""
        wanted = next(span.trace_id for _, span in self.spans() if span.name == name)
        return {span.name: span for _, span in self.spans() if span.trace_id == wanted}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as started:
        yield started


@contextmanager
def collecting() -> Iterator[Collector]:
    collected = Collector()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/v1/traces"
            zipped = self.headers.get("Content-Encoding") == "gzip"
            collected.bodies.append(gzip.decompress(body) if zipped else body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    collected.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield collected
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def test_a_send_has_one_trace_from_its_plan_to_its_result(
    chain: Chain,  # noqa: F811
    run: Any,  # noqa: F811
    collector: Collector,
) -> None:
    tracing = {"otel_exporter_otlp_endpoint": collector.url, "otel_traces_sampler_arg": 1.0}
    chain.enrol(2)
    traces = open_traces(chain.settings.model_copy(update=tracing), "sequence-pipelines")
    today = {"day": chain.today, "now": None, "traces": traces}
    run("due_contacts", "mailbox_capacity", "send_plan", **today)
    chain.world.run("UPDATE sends SET send_at = clock_timestamp() - interval '1 s'")
    run("timed_messages", **today)
    chain.start_worker(**tracing)
    assert wait_until(lambda: chain.statuses() == {"sent": 2}, 30), chain.statuses()
    assert wait_until(lambda: chain.queue("delivery_results_queue").depth() == 2, 30)
    run("delivery_results", **today)
    assert chain.advanced() == 2
    chain.workers.pop().stop()
    traces.stop()

    trace = collector.trace_of("plan")
    parts = {"claim", "render", "smtp", "gate", "record"}
    assert set(trace) == {"plan", "dispatch", "send", "result"} | parts
    whole = [trace[name] for name in ("plan", "dispatch", "send", "result")]
    assert all(not span.parent_span_id for span in whole)
    assert [span.start_time_unix_nano for span in whole] == sorted(
        span.start_time_unix_nano for span in whole
    )
    assert {trace[name].parent_span_id for name in parts - {"gate"}} == {trace["send"].span_id}
    assert trace["gate"].parent_span_id == trace["smtp"].span_id
    recorded = attributes(trace["send"])
    assert (recorded["sequences.outcome"], recorded["sequences.attempt"]) == ("sent", 1)
    assert 0 < recorded["sequences.late_seconds"] < 30
    keys = [
        {
            name: attributes(span)[f"sequences.{name}"]
            for name in ("sequence_id", "contact_id", "step_id", "round")
        }
        for span in whole
    ]
    assert all(key == keys[0] for key in keys)
    assert chain.world.rows("contact_id = %s AND step_id = %s", keys[0]["contact_id"], keys[0]["step_id"])

    day = collector.trace_of("plan_day")
    assert {"read due contacts", "assign", "write"} < set(day)
    assert trace["plan"].links[0].span_id == day["plan_day"].span_id
    assert attributes(day["plan_day"])["sequences.planned"] == 2
    services = {service for service, span in collector.spans() if span.trace_id == trace["plan"].trace_id}
    assert services == {"sequence-pipelines", "step-mailing-worker"}
    assert not any(b".example" in body for body in collector.bodies), "an address"


def test_plan_made_by_the_command_is_traced_once_it_is_written(
    chain: Chain,  # noqa: F811
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chain.enrol(2)
    monkeypatch.setenv("PIPELINE_DATABASE_URL", chain.database.pipeline)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "1")
    for arguments, traced in ((["plan", "--dry-run"], 0), (["plan"], 2)):
        assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
        assert [span.name for _, span in collector.spans()] == ["plan"] * traced


def test_every_program_traces_the_same_share_of_the_sends(settings: Any, collector: Collector) -> None:
    changes = {"otel_exporter_otlp_endpoint": collector.url, "otel_traces_sampler_arg": 0.1}
    keys = [SendKey(1, contact, 1, 1) for contact in range(1, 3001)]
    planner = open_traces(settings.pipeline.model_copy(update=changes), "sequence-pipelines")
    planner.of_sends("plan", keys, 1)
    planner.stop()
    worker = open_traces(settings.worker.model_copy(update=changes), "step-mailing-worker")
    for key in keys:
        with worker.span("send", key), worker.span("claim"):
            pass
    worker.stop()
    by_name = {
        name: {span.trace_id for _, span in collector.spans() if span.name == name}
        for name in ("plan", "send", "claim")
    }
    assert 200 < len(by_name["plan"]) < 400
    assert by_name["plan"] == by_name["send"] == by_name["claim"]


def test_span_of_a_failure_names_the_error_type_and_not_its_message(
    settings: Any, collector: Collector
) -> None:
    changes = {"otel_exporter_otlp_endpoint": collector.url, "otel_traces_sampler_arg": 1.0}
    traces = open_traces(settings.worker.model_copy(update=changes), "step-mailing-worker")
    with pytest.raises(ValueError, match="bob"), traces.span("send", SendKey(1, 1, 1, 1)):
        raise ValueError("550 bob@people.example is not known here")
    traces.stop()
    ((_, span),) = collector.spans()
    assert (span.status.message, len(span.events)) == ("ValueError", 0)


def test_tracing_is_off_by_default_and_does_not_import_opentelemetry(settings: Any) -> None:
    empty = settings.worker.model_copy(update={"otel_exporter_otlp_endpoint": ""})
    for each in (settings.worker, empty):
        assert open_traces(each, "step-mailing-worker") is OFF
    with OFF.span("send", SendKey(1, 1, 1, 1)):
        OFF.note(outcome="sent")
    code = (
        "import sys, step_mailing_worker.worker, sequence_store.tracing.factory;"
        "print('opentelemetry' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_collector_that_does_not_respond_stops_no_mail(settings: Any) -> None:
    changes = {"otel_exporter_otlp_endpoint": "http://127.0.0.1:9", "otel_traces_sampler_arg": 1.0}
    traces = open_traces(settings.worker.model_copy(update=changes), "step-mailing-worker")
    with traces.span("send", SendKey(1, 1, 1, 1)):
        pass
    traces.of_sends("plan", [SendKey(1, 2, 1, 1)], 1)
