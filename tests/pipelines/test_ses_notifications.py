"""Tests the reports of Amazon SES: which ones are accepted, and their effect."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.x509.oid import NameOID

from sequence_pipelines.resources.database import Database
from sequence_pipelines.results.consumer import consume_results
from sequence_pipelines.results.ses_notifications import CertificateUnavailableError, Notifications, Report
from sequence_store.domain.messages import SendKey
from sequence_store.errors import MalformedMessageError
from sequence_store.mail.message_ids import message_id, message_name
from sequence_store.settings import LOCAL_LINK_KEY
from sequence_store.sqs import Outgoing

SECRET = LOCAL_LINK_KEY.encode()
KEY = SendKey(1, 2, 3, 1)
URL = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123.pem"
SIGNER = generate_private_key(65537, 2048)
ENVELOPE = {
    "Type": "Notification",
    "MessageId": "m1",
    "TopicArn": "arn:aws:sns:eu-west-1:123456789012:ses",
    "Timestamp": "2026-06-15T09:00:00.000Z",
}


def certificate(_url: str = URL) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(SIGNER.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(SIGNER, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


def unavailable(url: str) -> bytes:
    raise CertificateUnavailableError(url)


def bounce(key: SendKey = KEY, *, kind: str = "Permanent", by: str = "tags") -> dict[str, Any]:
    mail: dict[str, Any] = {"messageId": "ses-1", "destination": ["bob@people.example"]}
    if by == "tags":
        mail["tags"] = {"send": [message_name(key, SECRET)]}
    else:
        mail["headers"] = [{"name": "Message-ID", "value": message_id(key, "sender.example", SECRET)}]
    recipients = [{"emailAddress": "bob@people.example", "status": "5.1.1"}]
    details = {
        "bounceType": kind,
        "bounceSubType": "General",
        "feedbackId": "f1",
        "bouncedRecipients": recipients,
    }
    return {"notificationType": "Bounce", "bounce": details, "mail": mail}


def report(name: str, key: SendKey = KEY, **details: str) -> dict[str, Any]:
    mail = {"messageId": "ses-1", "tags": {"send": [message_name(key, SECRET)]}}
    return {"eventType": name, name.lower(): {"feedbackId": "f2", **details}, "mail": mail}


def signed(message: dict[str, Any], *, version: str = "2", **changes: str) -> dict[str, str]:
    """Return a signed SNS envelope of a message; `changes` are applied before signing."""
    envelope = {**ENVELOPE, "Message": json.dumps(message), **changes}
    names = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
    text = "".join(f"{name}\n{envelope[name]}\n" for name in names if name in envelope)
    algorithm = hashes.SHA256() if version == "2" else hashes.SHA1()
    signature = base64.b64encode(SIGNER.sign(text.encode(), PKCS1v15(), algorithm)).decode()
    return {**envelope, "SignatureVersion": version, "Signature": signature, "SigningCertURL": URL}


def read(body: dict[str, Any] | str) -> Report | None:
    text = body if isinstance(body, str) else json.dumps(body)
    return Notifications(SECRET, certificate).read(text)


@pytest.mark.parametrize("version", ["1", "2"])
def test_signed_envelope_is_accepted(version: str) -> None:
    found = read(signed(bounce(), version=version, Subject="Amazon SES Email Event Notification"))
    assert found is not None
    assert (found.key, found.kind, found.detail["subtype"]) == (KEY, "bounce", "General")


@pytest.mark.parametrize("by", ["tags", "headers"])
def test_raw_message_counts_for_the_send_that_it_names(by: str) -> None:
    found = read(bounce(by=by))
    assert found is not None
    assert found.key == KEY


@pytest.mark.parametrize(
    "changes",
    [
        {"Message": json.dumps(bounce(SendKey(1, 2, 4, 1)))},
        {"Timestamp": "2027-01-01T00:00:00.000Z"},
        {"Signature": "AAAA"},
        {"Signature": "no base64!"},
        {"SignatureVersion": "3"},
        {"Subject": "added"},
        {"SigningCertURL": "https://sns.eu-west-1.amazonaws.com.evil.example/a.pem"},
        {"SigningCertURL": "http://sns.eu-west-1.amazonaws.com/a.pem"},
        {"SigningCertURL": "https://evil.example/sns.eu-west-1.amazonaws.com/a.pem"},
        {"SigningCertURL": "https://sns.eu-west-1.amazonaws.com@evil.example/a.pem"},
        {"SigningCertURL": "https://sns.eu-west-1.amazonaws.com:444/a.pem"},
        {"SigningCertURL": "https://s3.eu-west-1.amazonaws.com/a.pem"},
        {"SigningCertURL": 5},
        {"Message": 5},
    ],
)
def test_envelope_that_amazon_did_not_sign_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedMessageError, match="SNS envelope"):
        read({**signed(bounce()), **changes})


def test_subscription_envelope_is_rejected_for_a_person_to_confirm() -> None:
    with pytest.raises(MalformedMessageError, match="confirm the subscription by hand"):
        read(signed(bounce(), Type="SubscriptionConfirmation"))


def test_certificate_is_fetched_once() -> None:
    fetched: list[str] = []

    def fetch(url: str) -> bytes:
        fetched.append(url)
        return certificate()

    notifications = Notifications(SECRET, fetch)
    for _ in range(3):
        notifications.read(json.dumps(signed(bounce())))
    assert fetched == [URL]


@pytest.mark.parametrize(
    ("status", "diagnostic", "kind", "fault"),
    [
        ("5.1.1", "smtp; 550 5.1.1 user unknown", "bounce", "recipient"),
        ("5.0.0", "smtp; 550 No such user here", "bounce", "recipient"),
        ("5.1.1", ("Amazon SES has suppressed sending to this address because it has a recent history "
            "of bouncing"
         " as an invalid address."), "bounce", "recipient"),
        ("5.2.2", "smtp; 552 5.2.2 mailbox full", "soft_bounce", "recipient"),
        ("5.7.1", "smtp; 550 5.7.1 Message rejected due to DMARC policy", "soft_bounce", "mailbox"),
        ("5.3.4", "smtp; 552 5.3.4 message too large", "soft_bounce", "message"),
        ("5.4.4", "smtp; 550 5.4.4 Host not found", "soft_bounce", "domain"),
        (None, None, "soft_bounce", "recipient"),
        ({}, [], "soft_bounce", "recipient"),
    ],
)  # fmt: skip
def test_permanent_bounce_is_the_fault_of_whom_the_server_names(
    status: object, diagnostic: object, kind: str, fault: str
) -> None:
    message = bounce()
    message["bounce"]["bouncedRecipients"] = [{"status": status, "diagnosticCode": diagnostic}]
    found = read(message)
    assert found is not None
    assert (found.kind, found.detail["fault"]) == (kind, fault)
    assert "@" not in str(found.detail)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (bounce(), "bounce"),
        (bounce(kind="Transient"), "soft_bounce"),
        (bounce(kind="Undetermined"), "soft_bounce"),
        (report("Complaint", complaintFeedbackType="abuse"), "complaint"),
        (report("Complaint", complaintFeedbackType="not-spam"), None),
        (report("Delivery"), "delivery"),
        (report("Open"), None),
        (report("Send"), None),
        ({"notificationType": "Bounce"}, None),
        ({"notificationType": "Bounce", "bounce": [], "mail": "x"}, None),
        ({"notificationType": "AmazonSnsSubscriptionSucceeded"}, None),
    ],
)
def test_each_notification_has_its_kind(message: dict[str, Any], kind: str | None) -> None:
    found = read(message)
    assert (found and found.kind) == kind
    assert "@" not in str(found and found.detail)


def test_report_of_a_send_that_is_not_ours_changes_nothing() -> None:
    forged = bounce()
    forged["mail"]["tags"]["send"] = ["1.2.3.1." + "0" * 24]
    assert read(forged) is None


def enter(world: Any, status: str = "sent") -> SendKey:
    mailbox = world.mailbox()
    sequence = world.sequence(mailboxes=(mailbox,))
    contact = world.enrol(sequence)
    step = world.step_id(sequence, 1)
    world.run(
        "INSERT INTO sends (sequence_id, contact_id, step_id, round, mailbox_id, due_day, plan_day, send_day,"
        " send_at, not_after, status) VALUES (%s, %s, %s, 1, %s, current_date, current_date, current_date,"
        " now(), now(), %s)",
        sequence, contact, step, mailbox, status,
    )  # fmt: skip
    return SendKey(sequence, contact, step, 1)


def drained(queues: Any, *bodies: dict[str, Any], fetch: Any = certificate) -> Any:
    outgoing = [Outgoing(str(n), json.dumps(body)) for n, body in enumerate(bodies)]
    list(queues.delivery_results.send(outgoing))
    settings = queues.settings.pipeline
    with Database(settings).connect() as connection:
        return consume_results(connection, queues.delivery_results, settings, Notifications(SECRET, fetch))


def hidden(queues: Any) -> int:
    answer = queues.client.get_queue_attributes(QueueUrl=queues.delivery_results.url, AttributeNames=["All"])
    return int(answer["Attributes"]["ApproximateNumberOfMessagesNotVisible"])


def test_reported_bounce_and_complaint_end_their_enrolments_once(world: Any, queues: Any) -> None:
    gone, angry = enter(world), enter(world)
    messages = [signed(bounce(gone)), bounce(gone), signed(report("Complaint", angry))]
    found = drained(queues, *messages)
    assert found.feedback == {"bounce": 1, "complaint": 1}
    statuses = world.connection.execute(
        "SELECT status FROM sequences_contacts ORDER BY contact_id"
    ).fetchall()
    assert statuses == [("bounced",), ("unsubscribed",)]
    assert world.one("SELECT count(*) FROM suppressions") == 2
    assert hidden(queues) == 0


def test_delivery_settles_an_unknown_send(world: Any, queues: Any) -> None:
    enter(world, "sent")
    key = enter(world, "unknown")
    drained(queues, report("Delivery", key))
    assert world.one("SELECT status, reason FROM sends WHERE contact_id = %s", key.contact_id) == (
        "sent",
        "feedback",
    )


def test_forged_report_is_dead_lettered_and_one_without_its_certificate_stays(
    world: Any, queues: Any
) -> None:
    key = enter(world)
    forged = {**signed(bounce(key)), "Signature": "AAAA"}
    assert drained(queues, forged).malformed == 1
    assert queues.delivery_results.dead_letters() == 1
    found = drained(queues, signed(bounce(key)), fetch=unavailable)
    assert (found.malformed, hidden(queues)) == (0, 1)
    assert world.one("SELECT status FROM sequences_contacts") == "active"
