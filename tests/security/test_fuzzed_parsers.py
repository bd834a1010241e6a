"""Tests that the queues' parsers accept any input, or refuse it with a reason that repeats none of it.

The fuzz tests of CSV files, incoming mails and link tokens are next to their other tests.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sequence_pipelines.results.ses_notifications import (
    CertificateUnavailableError,
    Notifications,
    is_notification,
)
from sequence_store.domain.messages import DeliveryResult, SendKey, SendMessage, parse_message
from sequence_store.errors import MalformedMessageError
from sequence_store.mail.message_ids import keys_named_in, message_name

CANARY = "canary@people.example"
GOOD: dict[str, Any] = {
    "v": 1,
    "sequence_id": 1,
    "contact_id": 2,
    "sequence_step_id": 3,
    "round": 1,
    "attempt": 1,
    "mailbox_id": 4,
    "send_at": "2026-06-15T04:00:00Z",
    "not_after": "2026-06-15T06:00:00Z",
    "environment": "local",
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(CANARY),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
CHANGED = st.dictionaries(st.sampled_from([*GOOD, "outcome", "at", "x"]), JSON, max_size=4).map(
    lambda changes: json.dumps(GOOD | changes)
)


@settings(max_examples=150, deadline=None)
@given(st.text() | JSON.map(json.dumps) | CHANGED)
@example('{"v": 1e999}')
@example('"\\ud800"')
@example("[" * 100_000)
@example('{"v": 1, "v": 2}')
def test_any_queue_body_is_a_message_or_malformed(body: str) -> None:
    for kind in (SendMessage, DeliveryResult):
        try:
            message = parse_message(kind, body)
        except MalformedMessageError as error:
            shown = str(error)
        else:
            shown = ""
            assert message.v == 1
            assert message.sequence_id > 0
        assert CANARY not in shown


@pytest.mark.parametrize("kind", [SendMessage, DeliveryResult])
def test_message_of_another_release_with_a_field_more_is_read(kind: Any) -> None:
    known = GOOD | {"outcome": "sent", "at": "2026-06-15T04:00:02Z"}
    newer = known | {"priority": 3, "trace": {"id": "x"}}
    assert parse_message(kind, json.dumps(newer)) == parse_message(kind, json.dumps(known))


def _no_certificate(url: str) -> bytes:
    raise CertificateUnavailableError(url)


ENVELOPES = st.dictionaries(
    st.sampled_from(
        ["Type", "Message", "Signature", "SigningCertURL", "SignatureVersion", "notificationType", "mail"]
    ),
    JSON
    | st.sampled_from(["Notification", "https://sns.eu-west-1.amazonaws.com/x.pem", "1", '{"mail": {}}']),
    max_size=7,
)
EVENTS = st.fixed_dictionaries(
    {
        "eventType": st.sampled_from(["Bounce", "Complaint", "Delivery"]) | JSON,
        "mail": st.dictionaries(st.sampled_from(["tags", "headers", "commonHeaders", "messageId"]), JSON)
        | JSON,
        "bounce": st.dictionaries(st.sampled_from(["bounceType", "bouncedRecipients", "timestamp"]), JSON)
        | JSON,
    }
)


@settings(max_examples=150, deadline=None)
@given(st.text() | ENVELOPES.map(json.dumps) | EVENTS.map(json.dumps))
@example('{"Type": "Notification", "Message": "[]"}')
def test_any_notification_is_a_report_or_nothing_or_malformed(body: str) -> None:
    is_notification(body)
    shown = ""
    try:
        Notifications(b"secret", fetch=_no_certificate).read(body)
    except (MalformedMessageError, CertificateUnavailableError) as error:
        shown = str(error)
    assert CANARY not in shown


@given(st.text(), st.binary(min_size=1, max_size=8))
def test_no_made_up_name_is_believed(text: str, secret: bytes) -> None:
    name = message_name(SendKey(1, 2, 3, 1), b"another " + secret)
    assert list(keys_named_in(f"{text} {name}@x", secret)) == []


@pytest.mark.parametrize("size", [1_000, 1_000_000])
def test_long_text_full_of_almost_names_takes_no_time(size: int) -> None:
    assert list(keys_named_in("1.2.3.4." * (size // 8), b"secret")) == []
