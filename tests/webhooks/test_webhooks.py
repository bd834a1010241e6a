"""Tests webhooks: the API, the signature, delivery at least once, failing receivers, and private networks."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from local_stack.ports import free_port
from local_stack.postgres import SUPERUSER, Postgres
from local_stack.processes import wait_until
from sequence_store.secrets.at_rest import SecretBox
from sequence_store.settings import LOCAL_SECRET_KEY
from sequence_store.webhook_urls import LONGEST_URL, URL_PATTERN, check_url
from tests.conftest import Database
from tests.crud_api.conftest import NOBODY, Api
from tests.webhooks.conftest import Receiver
from webhook_sender import receivers
from webhook_sender.receivers import Receivers
from webhook_sender.sender import Sender


@pytest.fixture
def sender(database: Database) -> Iterator[Sender]:
    with database.connect("pipeline", autocommit=True) as connection:
        box = SecretBox([LOCAL_SECRET_KEY], takes_unsealed=False)
        yield Sender(connection, Receivers(local=True, total_seconds=2), box, first_retry_seconds=0.0)


def happen(api: Api, count: int, kind: str = "auto_reply") -> None:
    api.sql("INSERT INTO send_events (kind) SELECT %s FROM generate_series(1, %s)", kind, count)


def send(sender: Sender) -> None:
    """Send until nothing is due; a failure is tried again only with the next call."""
    for _ in range(100):
        started = sender.turn()
        assert wait_until(lambda: all(future.done() for _, future in sender._running.values()), 20)
        if not started:
            return


def test_message_is_signed_as_standard_webhooks_says_and_has_its_position(
    api: Api, sender: Sender, receiver: Receiver
) -> None:
    created = api.made("/webhooks", {"url": receiver.url})
    happen(api, 3)
    send(sender)
    assert receiver.positions == [1, 2, 3]
    headers, body = receiver.messages[0]
    verified = Webhook(created["secret"]).verify(body, headers)
    assert verified["type"] == "auto_replied"
    shown = api.get("/events").json()[0]
    assert {name: verified["data"][name] for name in shown if name != "at"} == {
        name: value for name, value in shown.items() if name != "at"
    }
    with pytest.raises(WebhookVerificationError):
        Webhook(created["secret"]).verify(body.replace(b"auto", b"ouch"), headers)
    ids = [headers["webhook-id"] for headers, _ in receiver.messages]
    assert len(set(ids)) == 3
    assert api.get(f"/webhooks/{created['id']}").json()["position"] == 3


def test_webhook_gets_events_from_its_creation_on_and_its_kinds_only(
    api: Api, sender: Sender, receiver: Receiver
) -> None:
    happen(api, 2)
    api.get("/events")
    created = api.made("/webhooks", {"url": receiver.url, "kinds": ["replied", "replied"]})
    assert created["kinds"] == ["replied"]
    happen(api, 60)
    happen(api, 1, "reply")
    happen(api, 5)
    send(sender)
    assert receiver.positions == [63]
    assert api.get(f"/webhooks/{created['id']}").json()["position"] == 68


def test_receiver_that_fails_gets_every_event_once_it_works(
    api: Api, sender: Sender, receiver: Receiver
) -> None:
    created = api.made("/webhooks", {"url": receiver.url})
    happen(api, 120)
    receiver.status = 500
    for _ in range(4):
        sender.turn()
        assert wait_until(lambda: all(future.done() for _, future in sender._running.values()), 20)
    sender._collect()
    shown = api.get(f"/webhooks/{created['id']}").json()
    assert shown["failures"] >= 1
    assert (shown["lastError"], shown["isActive"]) == ("status 500", True)
    receiver.status, receiver.messages = 200, []
    send(sender)
    assert receiver.positions == list(range(1, 121))
    shown = api.get(f"/webhooks/{created['id']}").json()
    assert (shown["failures"], shown["failingSince"], shown["lastError"]) == (0, None, None)


def test_wait_grows_with_each_failure(api: Api, sender: Sender, receiver: Receiver) -> None:
    api.made("/webhooks", {"url": receiver.url})
    happen(api, 1)
    receiver.status = 503
    waits = []
    sender.first_retry_seconds = 5.0
    for _ in range(3):
        send(sender)
        [(wait,)] = api.sql(
            "SELECT extract(epoch FROM next_attempt_at - clock_timestamp())::float8 FROM webhooks"
        )
        waits.append(round(wait / 5))
        api.sql("UPDATE webhooks SET next_attempt_at = NULL")
    assert waits == [1, 2, 4]
    api.sql("UPDATE webhooks SET failures = 60")
    send(sender)
    [(wait,)] = api.sql(
        "SELECT extract(epoch FROM next_attempt_at - clock_timestamp())::float8 FROM webhooks"
    )
    assert 3500 < wait <= 3600


def test_after_three_days_it_is_off_with_an_event_and_goes_on_where_it_stopped(
    api: Api, sender: Sender, receiver: Receiver
) -> None:
    created = api.made("/webhooks", {"url": receiver.url})
    happen(api, 2)
    receiver.status = 500
    send(sender)
    api.sql(
        "UPDATE webhooks SET failing_since = clock_timestamp() - interval '73 hours', next_attempt_at = NULL"
    )
    send(sender)
    shown = api.get(f"/webhooks/{created['id']}").json()
    assert (shown["isActive"], shown["switchedOffAt"] is not None) == (False, True)
    [event] = api.get("/events", params={"kinds": "webhook_switched_off"}).json()
    assert event["detail"] == {"webhook_id": created["id"], "reason": "failed for three days"}
    receiver.status, receiver.messages = 200, []
    send(sender)
    assert receiver.messages == []
    changed = api.patch(f"/webhooks/{created['id']}", {"isActive": True}).json()
    assert (changed["failures"], changed["switchedOffAt"]) == (0, None)
    send(sender)
    assert receiver.positions == [1, 2, 3]


def test_receiver_that_is_gone_is_switched_off_at_once(api: Api, sender: Sender, receiver: Receiver) -> None:
    created = api.made("/webhooks", {"url": receiver.url})
    happen(api, 1)
    receiver.status = 410
    send(sender)
    assert api.get(f"/webhooks/{created['id']}").json()["isActive"] is False


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirect_is_not_followed(api: Api, sender: Sender, receiver: Receiver, status: int) -> None:
    created = api.made("/webhooks", {"url": receiver.url})
    receiver.status, receiver.headers = status, {"Location": receiver.url + "/elsewhere"}
    happen(api, 1)
    sender.first_retry_seconds = 60
    send(sender)
    assert len(receiver.messages) == 1
    assert "redirects are not followed" in api.get(f"/webhooks/{created['id']}").json()["lastError"]


def test_slow_receiver_delays_no_other_one(api: Api, sender: Sender, receiver: Receiver) -> None:
    slow = api.made("/webhooks", {"url": receiver.url + "?slow"})
    api.made("/webhooks", {"url": receiver.url})
    happen(api, 40)
    sender.first_retry_seconds = 60
    receiver.body = b"x" * 100
    sender.turn()
    assert wait_until(lambda: len(receiver.positions) == 41, 1.5), "40 of the fast one, 1 of the slow one"
    send(sender)
    sender.turn()
    shown = api.get(f"/webhooks/{slow['id']}").json()
    assert (shown["position"], shown["lastError"]) == (0, "no answer within 2 s")


def test_answer_of_any_size_is_read_to_a_bound_only(receiver: Receiver) -> None:
    receiver.body = b"x" * 50_000_000
    answer = Receivers(local=True).post(receiver.url, {}, b'{"position": 1}')
    assert answer.delivered


def test_rotated_secret_signs_and_the_previous_one_too_for_a_day(
    api: Api, sender: Sender, receiver: Receiver
) -> None:
    created = api.made("/webhooks", {"url": receiver.url})
    rotated = api.post(f"/webhooks/{created['id']}/rotateSecret").json()
    assert rotated["secret"] != created["secret"]
    happen(api, 1)
    send(sender)
    headers, body = receiver.messages[0]
    for secret in (created["secret"], rotated["secret"]):
        Webhook(secret).verify(body, headers)
    api.sql("UPDATE webhooks SET previous_until = clock_timestamp()")
    happen(api, 1)
    send(sender)
    headers, body = receiver.messages[1]
    Webhook(rotated["secret"]).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(created["secret"]).verify(body, headers)


def test_secret_is_shown_once_and_stored_sealed(api: Api, receiver: Receiver) -> None:
    key = {"Idempotency-Key": "once"}
    created = api.post("/webhooks", {"url": receiver.url}, headers=key).json()
    repeated = api.post("/webhooks", {"url": receiver.url}, headers=key).json()
    assert (repeated["id"], repeated["secret"]) == (created["id"], None)
    assert "secret" not in api.get(f"/webhooks/{created['id']}").json()
    assert "secret" not in api.get("/webhooks").json()[0]
    stored = str(api.sql("SELECT to_jsonb(w), (SELECT answer::text FROM idempotency_keys) FROM webhooks w"))
    assert created["secret"] not in stored
    assert "sealed:" in stored


def test_test_event_is_sent_also_to_an_inactive_webhook(api: Api, sender: Sender, receiver: Receiver) -> None:
    created = api.made("/webhooks", {"url": receiver.url})
    api.patch(f"/webhooks/{created['id']}", {"isActive": False})
    assert api.post(f"/webhooks/{created['id']}/test").status_code == 202
    send(sender)
    headers, body = receiver.messages[0]
    assert Webhook(created["secret"]).verify(body, headers)["type"] == "test"
    assert receiver.positions == [None]
    sender.turn()
    assert api.get(f"/webhooks/{created['id']}").json()["testResult"] == "status 200"


def test_webhook_whose_secret_cannot_be_used_stops_no_other_one(
    api: Api, sender: Sender, receiver: Receiver
) -> None:
    broken = [api.made("/webhooks", {"url": receiver.url + f"?{n}"})["id"] for n in range(2)]
    box = SecretBox([LOCAL_SECRET_KEY], takes_unsealed=False)
    api.sql("UPDATE webhooks SET secret = 'sealed:nonsense' WHERE external_id = %s", broken[0])
    api.sql("UPDATE webhooks SET secret = %s WHERE external_id = %s", box.seal("whsec_%"), broken[1])
    api.made("/webhooks", {"url": receiver.url})
    happen(api, 2)
    sender.first_retry_seconds = 60
    send(sender)
    sender.turn()
    assert receiver.positions == [1, 2]
    errors = [api.get(f"/webhooks/{one}").json()["lastError"] for one in broken]
    assert errors[0].startswith("secret: ")
    assert errors[1].startswith("error: ")


LOCAL_ONLY = ["http://127.0.0.1:9000/x", "https://localhost/x", "http://[::1]:80/"]
REFUSED = [
    *LOCAL_ONLY,
    "http://example.com/",
    "https://example.com:8443/",
    "https://user:pw@example.com/",
    "https://user@example.com/",
    "https://example.com/#x",
    "https://10.0.0.1/",
    "https://192.168.1.1/hook",
    "https://169.254.169.254/latest/meta-data",
    "https://[::ffff:10.0.0.1]/",
    "https://[64:ff9b::a00:1]/",
    "https://[fd00::1]/",
    "https://0.0.0.0/",
    "https://2130706433/",
    "https://0x7f.0.0.1/",
    "https://127.1/",
    "https://intranet/",
    "https://crm.internal/",
    "https://printer.local/",
    "https://nas.home.arpa:443?x",
    "https://a..example/",
    "https://-a.example/",
    "https://a.example.0x7f/",
    "https://localhost./",
    "ftp://example.com/",
    "https://",
    "https:///path",
    "example.com",
    "",
    "https://exa mple.com/",
    "https://exämple.com/",
    "https://example.com/\n",
    "https://example.com:99999/",
    "https://example.com/" + "x" * 2_000,
]


@pytest.mark.parametrize("url", REFUSED)
def test_url_in_a_private_network_or_not_https_is_refused_outside_local(url: str) -> None:
    with pytest.raises(ValueError, match=r"must|is not"):
        check_url(url, local=False)
    assert not re.fullmatch(URL_PATTERN, url) or len(url) > LONGEST_URL, "the document says so, too"


@pytest.mark.parametrize(
    "url", ["https://example.com", "https://0x.org:443/a?b=c", "https://local.example./", "https://8.8.8.8/"]
)
def test_public_https_url_is_accepted(url: str) -> None:
    assert check_url(url, local=False) == url
    assert re.fullmatch(URL_PATTERN, url) or "8.8.8.8" in url


@pytest.mark.parametrize("url", LOCAL_ONLY)
def test_loopback_is_accepted_in_local(url: str) -> None:
    assert check_url(url, local=True) == url


@pytest.mark.parametrize("url", ["http://example.com/", "https://10.0.0.1/", "https://example.com:8443/"])
def test_api_refuses_a_url_and_names_the_field(api: Api, url: str) -> None:
    refused = api.post("/webhooks", {"url": url})
    assert refused.status_code == 400
    assert refused.json()["message"].startswith("url: must")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"url": 5},
        {"url": "https://a.example/", "kinds": ["sold"]},
        {"url": "https://a.example/", "kinds": []},
        {"url": None},
    ],
)
def test_invalid_webhook_is_refused(api: Api, body: dict[str, Any]) -> None:
    assert api.post("/webhooks", body).status_code == 400
    assert api.get("/webhooks").json() == []


@pytest.mark.parametrize(
    "changes", [{"url": ""}, {"url": "https://a..example/"}, {"kinds": []}, {"kinds": [""]}]
)
def test_invalid_change_is_refused_before_anything_else_is_looked_at(
    api: Api, changes: dict[str, Any]
) -> None:
    made = api.made("/webhooks", {"url": "https://a.example/"})
    path = f"/webhooks/{made['id']}"
    for headers in ({}, {"If-Match": '"other"'}):
        assert api.patch(path, changes, headers=headers).status_code == 400
    assert api.get(path).json()["url"] == "https://a.example/"


def test_unknown_webhook_is_named(api: Api) -> None:
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/test"), ("POST", "/rotateSecret")):
        assert api.request(method, f"/webhooks/{NOBODY}{path}").status_code == 404, path


def test_name_that_leads_into_a_private_network_gets_no_request(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the addresses of its name, and by the peer if the name resolves to another one a moment later."""
    port = int(receiver.url.rpartition(":")[2].split("/")[0])
    inside = [(2, 1, 6, "", ("127.0.0.1", port))]
    real = receivers.socket.getaddrinfo
    monkeypatch.setattr(receivers.socket, "getaddrinfo", lambda *_, **__: inside)
    sender = Receivers(local=False)
    answer = sender.post("https://rebound.example/", {}, b"{}")
    assert (answer.delivered, answer.text) == (False, "refused: its name leads into a private network")
    outside = [(2, 1, 6, "", ("8.8.8.8", port))]
    monkeypatch.setattr(receivers.socket, "getaddrinfo", lambda *_, **__: outside)
    connect = receivers.httpcore.SyncBackend.connect_tcp

    def rebound(self: Any, _host: str, _port: int, *rest: Any) -> Any:
        monkeypatch.setattr(receivers.socket, "getaddrinfo", real)
        return connect(self, "127.0.0.1", port, *rest)

    monkeypatch.setattr(receivers.httpcore.SyncBackend, "connect_tcp", rebound)
    answer = sender.post("https://rebound.example/", {}, b"{}")
    assert (answer.delivered, answer.text) == (False, "refused: its peer is in a private network")
    assert receiver.messages == []


def test_environments_proxy_is_not_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert Receivers(local=True).post(receiver.url, {}, b'{"position": 1}').delivered


def test_program_says_whether_it_reaches_the_database_also_while_another_one_sends(
    database: Database, postgres: Postgres
) -> None:
    program = str(Path(sys.executable).parent / "sequences")
    ports = [free_port(), free_port()]
    processes = []
    try:
        for port in ports:
            variables = {"PIPELINE_DATABASE_URL": database.pipeline, "WORKER_METRICS_PORT": str(port)}
            processes.append(
                subprocess.Popen([program, "webhooks"], env=os.environ | variables, stderr=subprocess.DEVNULL)
            )
        for port in ports:
            assert wait_until(lambda: probe(port, "/readyz") == 200, 20)  # noqa: B023
            assert probe(port, "/healthz") == 200
        with psycopg.connect(postgres.url(SUPERUSER), autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS false")
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [database.name]
            )
        for port in ports:
            assert wait_until(lambda: probe(port, "/readyz") == 503, 20)  # noqa: B023
            assert probe(port, "/healthz") == 200
    finally:
        for process in processes:
            process.kill()
            process.wait(10)


def probe(port: int, path: str) -> int:
    """Return the status of the answer, 0 if there is none."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False).status_code
    except httpx.TransportError:
        return 0


def test_program_that_is_killed_delivers_every_event_at_least_once(
    api: Api, database: Database, receiver: Receiver
) -> None:
    api.made("/webhooks", {"url": receiver.url})
    program = str(Path(sys.executable).parent / "sequences")
    variables = os.environ | {"PIPELINE_DATABASE_URL": database.pipeline}
    receiver.delay = 0.002
    for _ in range(3):
        happen(api, 100)
        already = len(receiver.messages)
        process = subprocess.Popen([program, "webhooks"], env=variables, stderr=subprocess.DEVNULL)
        try:
            assert wait_until(lambda: len(receiver.messages) > already + 20, 20)  # noqa: B023
        finally:
            process.kill()
            process.wait(10)
    happen(api, 100)  # work that is left, so that the last program has begun when its last event arrives
    process = subprocess.Popen([program, "webhooks"], env=variables, stderr=subprocess.DEVNULL)
    try:
        assert wait_until(lambda: len(set(receiver.positions)) == 400, 20)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert set(receiver.positions) == set(range(1, 401))
