"""Reads the reports of Amazon SES (bounces, complaints, deliveries), raw or in envelopes of SNS.

The signature of an envelope is verified with a certificate that is fetched from Amazon only. A raw message
has no signature: the queue's access policy decides which clients can send one. In both cases a report must
name its send by a Message-ID, which contains an HMAC.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from sequence_store.domain.messages import SendKey
from sequence_store.domain.states import FeedbackKind
from sequence_store.errors import MalformedMessageError
from sequence_store.mail.faults import judge_returned
from sequence_store.mail.message_ids import keys_named_in

_HOST = re.compile(r"sns\.[a-z]{2}(?:-[a-z]+)+-\d\.amazonaws\.com(?:\.cn)?")
_SIGNED = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_HASHES: Mapping[str, hashes.HashAlgorithm] = {"1": hashes.SHA1(), "2": hashes.SHA256()}  # noqa: S303
_FETCH_SECONDS = 5.0
_LONGEST_CERTIFICATE = 20_000


class CertificateUnavailableError(Exception):
    """Amazon's certificate cannot be fetched now. The message stays in the queue and is read again later."""


@dataclass(frozen=True)
class Report:
    """A report about a send, with the parameters of `record_feedback`."""

    key: SendKey
    kind: FeedbackKind
    detail: dict[str, object]


def fetch_certificate(url: str) -> bytes:
    """Fetch a certificate; raise CertificateUnavailableError if that fails."""
    try:
        response = httpx.get(url, timeout=_FETCH_SECONDS, follow_redirects=False)
        response.raise_for_status()
    except httpx.HTTPError as error:
        raise CertificateUnavailableError(url) from error
    return response.content[:_LONGEST_CERTIFICATE]


def is_notification(body: str) -> bool:
    """Return True if a message of the results queue is a report of SES or SNS."""
    return any(f'"{name}"' in body for name in ("SigningCertURL", "notificationType", "eventType"))


class Notifications:
    """Reads notifications and caches the certificates that sign them."""

    def __init__(
        self,
        secret: bytes,
        fetch: Callable[[str], bytes] = fetch_certificate,
        *,
        earlier_secrets: Sequence[bytes] = (),
    ) -> None:
        self._secrets = (secret, *earlier_secrets)
        self._fetch = fetch
        self._keys: dict[str, RSAPublicKey] = {}

    def read(self, body: str) -> Report | None:
        """Return the report about one of our sends; None if the message reports none or changes nothing.

        Raise MalformedMessageError if the message is not a valid one of Amazon, and
        CertificateUnavailableError if it must be read again later.
        """
        message = _object(body)
        if "SigningCertURL" in message:
            self._check(message)
            if message.get("Type") != "Notification":
                raise MalformedMessageError(
                    f"SNS message of type {message.get('Type')!s:.40}: confirm the subscription by hand"
                )
            message = _object(message["Message"])
        return self._report(message)

    def _report(self, message: Mapping[str, Any]) -> Report | None:
        kind, detail = _kind_of(message)
        if kind is None:
            return None
        mail = message.get("mail")
        text = json.dumps(mail) if isinstance(mail, dict) else ""
        key = next(keys_named_in(text.replace('"', "@"), *self._secrets), None)
        return Report(key, kind, detail) if key else None

    def _check(self, envelope: Mapping[str, Any]) -> None:
        if not all(isinstance(envelope.get(name, ""), str) for name in (*_SIGNED, "Signature")):
            raise MalformedMessageError("SNS envelope: a field is not a string")
        algorithm = _HASHES.get(str(envelope.get("SignatureVersion")))
        if algorithm is None:
            raise MalformedMessageError("SNS envelope: unknown SignatureVersion")
        signed = "".join(f"{name}\n{envelope[name]}\n" for name in _SIGNED if name in envelope)
        try:
            signature = base64.b64decode(envelope.get("Signature", ""), validate=True)
            self._key_at(envelope["SigningCertURL"]).verify(signature, signed.encode(), PKCS1v15(), algorithm)
        except (InvalidSignature, ValueError):
            raise MalformedMessageError("SNS envelope: the signature is invalid") from None

    def _key_at(self, url: object) -> RSAPublicKey:
        if not isinstance(url, str) or not _is_of_amazon(url):
            raise MalformedMessageError("SNS envelope: the certificate's URL is not Amazon's")
        if url not in self._keys:
            key = x509.load_pem_x509_certificate(self._fetch(url)).public_key()
            if not isinstance(key, RSAPublicKey):
                raise MalformedMessageError("SNS envelope: the certificate has no RSA key")
            self._keys[url] = key
        return self._keys[url]


def _is_of_amazon(url: str) -> bool:
    parts = urlsplit(url)
    return (
        parts.scheme == "https"
        and _HOST.fullmatch(parts.netloc) is not None
        and re.fullmatch(r"/[\w.-]+\.pem", parts.path) is not None
        and not (parts.query or parts.fragment)
    )


def _object(text: object) -> dict[str, Any]:
    try:
        value = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise MalformedMessageError("SES notification: the message is not a JSON object")
    return value


def _kind_of(message: Mapping[str, Any]) -> tuple[FeedbackKind | None, dict[str, object]]:
    """Return the kind, None if the report changes nothing, and a detail that tells reports apart."""
    match message.get("notificationType") or message.get("eventType"):
        case "Bounce":
            return _bounce(_part(message, "bounce"))
        case "Complaint":
            complaint = _part(message, "complaint")
            withdrawn = complaint.get("complaintFeedbackType") == "not-spam"
            return None if withdrawn else FeedbackKind.COMPLAINT, {
                "type": _word(complaint.get("complaintFeedbackType")),
                "report": _fingerprint(complaint.get("feedbackId")),
            }
        case "Delivery":
            return FeedbackKind.DELIVERY, {"report": _fingerprint(_part(message, "mail").get("messageId"))}
        case _:
            return None, {}


def _bounce(bounce: Mapping[str, Any]) -> tuple[FeedbackKind, dict[str, object]]:
    """Judge a bounce by what the recipient's server said; only a type of Permanent can be for good."""
    detail: dict[str, object] = {
        "type": _word(bounce.get("bounceType")),
        "subtype": _word(bounce.get("bounceSubType")),
        "report": _fingerprint(bounce.get("feedbackId")),
    }
    if detail["type"] != "Permanent":
        return FeedbackKind.SOFT_BOUNCE, detail
    recipients = bounce.get("bouncedRecipients")
    first = recipients[0] if isinstance(recipients, list) and recipients else None
    said = first if isinstance(first, dict) else {}
    verdict = judge_returned(_text(said.get("status")) or "5.0.0", _text(said.get("diagnosticCode")))
    kind = FeedbackKind.BOUNCE if verdict.ends_enrolment else FeedbackKind.SOFT_BOUNCE
    return kind, {**detail, **verdict.consequences}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _part(message: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = message.get(name)
    return part if isinstance(part, dict) else {}


def _word(value: object) -> str:
    return value if isinstance(value, str) and re.fullmatch(r"[\w-]{1,40}", value) else "unnamed"


def _fingerprint(value: object) -> str:
    return hashlib.sha256(str(value).encode()).hexdigest()[:16]
