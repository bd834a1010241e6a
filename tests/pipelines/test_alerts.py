"""Tests alerts about failed runs with a real HTTP server and a real SMTP server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import dagster as dg
import httpx
import pytest
from pydantic import SecretStr

from sequence_pipelines.definitions import defs
from sequence_pipelines.jobs.failure_alerts import failure_alert_sensor

Posts = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def hook() -> Iterator[tuple[str, Posts]]:
    """Serve HTTP on loopback; yield the address and the received posts. /broken responds with status 500."""
    posts: Posts = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            posts.append((self.path, body))
            self.send_response(500 if self.path == "/broken" else 200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", posts
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def alert(make_settings: Any) -> Any:
    """Return a function that lets a run fail and evaluates the sensor with the given settings."""

    @dg.op
    def fail() -> None:
        raise RuntimeError("no disk space")

    @dg.job(tags={"dagster/partition": "2026-06-15"})
    def daily_plan() -> None:
        fail()

    def evaluate(**alerts: Any) -> Any:
        settings = make_settings(**alerts).pipeline
        with dg.DagsterInstance.ephemeral() as instance:
            result = daily_plan.execute_in_process(instance=instance, raise_on_error=False)
            context = dg.build_run_status_sensor_context(
                sensor_name="failure_alert_sensor",
                dagster_instance=instance,
                dagster_run=result.dagster_run,
                dagster_event=result.get_run_failure_event(),
                resources={"settings": settings},
            ).for_run_failure()
            return failure_alert_sensor(context)

    return evaluate


def test_failed_run_alerts_slack_a_webhook_and_a_mail_address(
    alert: Any, hook: tuple[str, Posts], smtp_sink: Any
) -> None:
    url, posts = hook
    alert(
        alert_slack_url=SecretStr(f"{url}/slack"),
        alert_webhook_url=SecretStr(f"{url}/hook"),
        alert_smtp_url=SecretStr(f"smtp://{smtp_sink.host}:{smtp_sink.port}"),
        alert_mail_to="oncall@team.example",
        dagster_url="http://dagster.example",
    )
    (_, slack), (_, posted) = posts
    assert slack["text"].startswith("[local] daily_plan of 2026-06-15 failed")
    assert posted["event"] == "run_failed"
    assert (posted["job"], posted["partition"]) == ("daily_plan", "2026-06-15")
    assert posted["url"] == f"http://dagster.example/runs/{posted['run_id']}"
    (mail,) = smtp_sink.wait_for(1)
    assert mail.rcpt_to == ["oncall@team.example"]
    assert b"Subject: [local] daily_plan of 2026-06-15 failed" in mail.data


def test_broken_channel_does_not_stop_the_other_alerts(alert: Any, hook: tuple[str, Posts]) -> None:
    url, posts = hook
    with pytest.raises(httpx.HTTPStatusError):
        alert(alert_slack_url=SecretStr(f"{url}/broken"), alert_webhook_url=SecretStr(f"{url}/hook"))
    assert [path for path, _ in posts] == ["/broken", "/hook"]


def test_sensor_without_a_channel_skips_and_is_off_by_default(alert: Any) -> None:
    assert "no ALERT_… setting" in alert().skip_message
    sensor = defs.resolve_sensor_def("failure_alert_sensor")
    assert sensor.default_status == dg.DefaultSensorStatus.STOPPED
