"""Tests of sending through Amazon SES: moto accepts mails, a scripted endpoint refuses and breaks."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest

from sequence_store.mail.message_ids import message_name
from sequence_store.settings import LOCAL_LINK_KEY
from tests.conftest import SmtpSink
from tests.step_mailing_worker.conftest import Team

DROP, HANG = "drop", "hang"


@dataclass
class ScriptedSes:
    """Accepts mails, returns `refusal` (HTTP status, error code, text), or breaks as set in `breaks`."""

    refusal: tuple[int, str, str] | None = None
    breaks: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    url: str = ""

    @property
    def mails(self) -> list[bytes]:
        return [base64.b64decode(request["Content"]["Raw"]["Data"]) for request in self.requests]


@pytest.fixture
def ses(team: Team, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedSes]:
    scripted = ScriptedSes()
    released = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            scripted.requests.append(body)
            scripted.keys.append(self.headers["Authorization"].partition("Credential=")[2].partition("/")[0])
            if scripted.breaks:
                if scripted.breaks == HANG:
                    released.wait(20)
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            status, kind, text = scripted.refusal or (200, "", "")
            content = json.dumps({"message": text} if kind else {"MessageId": "0102018f-ses-1"}).encode()
            self.send_response(status)
            self.send_header("x-amzn-ErrorType", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    scripted.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", scripted.url)
    team.run("UPDATE mailboxes SET smtp_host = 'ses:eu-west-1'")
    try:
        yield scripted
    finally:
        released.set()
        server.shutdown()
        thread.join()
        server.server_close()


def test_mail_is_accepted_by_ses_and_its_id_is_kept(
    team: Team, smtp_sink: SmtpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", team.queues.endpoint)
    team.run("UPDATE mailboxes SET smtp_host = 'ses:eu-west-1'")
    unverified = team.send()
    worker = team.start()
    assert team.becomes(unverified, "cancelled") == "sender_policy"
    worker.stop()
    client = boto3.client("sesv2", region_name="eu-west-1")
    client.create_email_identity(EmailIdentity="sender.example")
    client.close()
    team.run("UPDATE mailboxes SET parked_until = NULL")
    message = team.send()
    team.start()
    team.becomes(message, "sent")
    code, provider_id = team.one("SELECT smtp_code, provider_message_id FROM sends WHERE status = 'sent'")
    assert code == 250
    assert provider_id
    assert smtp_sink.mails == []


def test_mail_names_itself_in_what_replies_and_reports_repeat(team: Team, ses: ScriptedSes) -> None:
    contact = team.contact("bob@people.example")
    first = team.send(contact=contact)
    team.start(ses_configuration_set="reports")
    team.becomes(first, "sent")
    second = team.send(contact=contact, step=team.enter_step(2, None))
    team.becomes(second, "sent")
    opening, follow_up = (message_from_bytes(content, policy=policy.default) for content in ses.mails)
    assert opening["References"] == opening["Message-ID"]
    assert follow_up["References"].split() == [opening["Message-ID"], follow_up["Message-ID"]]
    request = ses.requests[0]
    assert request["FromEmailAddress"] == "ann@sender.example"
    assert request["Destination"] == {"ToAddresses": ["bob@people.example"]}
    assert request["ConfigurationSetName"] == "reports"
    name = message_name(first.key, LOCAL_LINK_KEY.encode())
    assert request["EmailTags"] == [{"Name": "send", "Value": name}]
    assert team.one("SELECT DISTINCT provider_message_id FROM sends") == "0102018f-ses-1"


def test_mailbox_has_an_account_of_its_own_or_the_workers(team: Team, ses: ScriptedSes) -> None:
    team.start(worker_concurrency=1)
    team.becomes(team.send(), "sent")
    team.run("UPDATE mailboxes SET smtp_username = 'AKIDANN', smtp_secret = 'secret'")
    team.becomes(team.send(), "sent")
    assert ses.keys == ["test", "AKIDANN"]


REFUSALS = [
    (429, "TooManyRequestsException", "Maximum sending rate exceeded.", "planned", "rate_limit", False),
    (429, "TooManyRequestsException", "Daily message quota exceeded.", "cancelled", "daily_limit", True),
    (400, "LimitExceededException", "Too many", "planned", "rate_limit", False),
    (400, "MessageRejected", "Email address is not verified", "cancelled", "sender_policy", True),
    (400, "MessageRejected", "Virus found", "expired", "refused_today", False),
    (400, "BadRequestException", "Illegal address", "cancelled", "content_refused", False),
    (400, "MailFromDomainNotVerifiedException", "no", "cancelled", "sender_policy", True),
    (400, "AccountSuspendedException", "no", "cancelled", "sender_policy", True),
    (400, "SendingPausedException", "no", "cancelled", "sender_policy", True),
    (404, "NotFoundException", "no such configuration set", "cancelled", "sender_policy", True),
    (403, "AccessDeniedException", "not authorized", "cancelled", "sign_in_refused", True),
    (403, "SignatureDoesNotMatch", "no", "cancelled", "sign_in_refused", True),
    (400, "AnErrorOfTomorrow", "no", "cancelled", "sender_policy", True),
    (500, "InternalFailure", "oops", "planned", "server_deferred", False),
    (503, "ServiceUnavailable", "busy", "planned", "server_deferred", False),
]


@pytest.mark.parametrize(("http", "kind", "text", "status", "reason", "parked"), REFUSALS)
def test_refusal_costs_only_whose_fault_it_is(
    team: Team, ses: ScriptedSes, http: int, kind: str, text: str, status: str, reason: str, parked: bool
) -> None:
    ses.refusal = (http, kind, text)
    message = team.send()
    team.start()
    found = team.becomes(message, status)
    assert found == reason
    assert team.handled()
    assert len(ses.requests) == 1
    assert team.one("SELECT parked_until IS NOT NULL FROM mailboxes") == parked
    assert team.status_of(message.contact_id) == ("paused" if reason == "content_refused" else "active")
    assert team.one("SELECT count(*) FROM suppressions") == 0


@pytest.mark.parametrize("how", [DROP, HANG])
def test_call_that_breaks_off_is_unknown_and_never_made_again(team: Team, ses: ScriptedSes, how: str) -> None:
    ses.breaks = how
    message = team.send()
    team.start(smtp_final_dot_seconds=1)
    team.becomes(message, "unknown")
    assert team.handled()
    assert len(ses.requests) == 1


def test_ses_that_cannot_be_reached_is_a_soft_failure(
    team: Team, ses: ScriptedSes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", "http://127.0.0.1:9")
    message = team.send()
    team.start()
    assert team.becomes(message, "planned") == "connection_lost_connect"
    assert team.one("SELECT used FROM mailbox_days") == 0


def test_gate_is_passed_before_the_call(team: Team, ses: ScriptedSes) -> None:
    team.run("UPDATE mailboxes SET send_limit = 0")
    message = team.send()
    team.start()
    assert team.becomes(message, "cancelled") == "limit_reached"
    assert ses.requests == []


def test_address_beyond_ascii_is_not_ses_to_take(team: Team, ses: ScriptedSes) -> None:
    message = team.send(contact=team.contact("jürgen@people.example"))
    team.start()
    assert team.becomes(message, "expired") == "relay_lacks_smtputf8"
    assert ses.requests == []
