"""Tests of DKIM signatures and of the keys that the worker refuses."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from sequence_store.domain.addresses import parse_address
from sequence_store.errors import SettingsError
from step_mailing_worker.mail import Mail
from step_mailing_worker.signing import Signer, _Key
from tests.conftest import SmtpSink
from tests.step_mailing_worker.conftest import Team

NAME = "mail2026._domainkey.sender.example"
KEY = rsa.generate_private_key(65537, 2048)
HEAD = (
    b"From: ann@sender.example\r\nTo: bob@people.example\r\nSubject: Hello\r\n"
    b"Date: Mon, 15 Jun 2026 09:30:00 +0000\r\nMessage-ID: <1@sender.example>\r\n"
    b"List-Unsubscribe:\r\n <https://u.example/1>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
)


def pem(key: Any) -> bytes:
    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    folder = tmp_path / "dkim"
    folder.mkdir()
    (folder / f"{NAME}.pem").write_bytes(pem(KEY))
    return folder


def record(name: bytes, **_: object) -> bytes | None:
    """Return the DKIM record, as the domain's DNS does."""
    public = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b"v=DKIM1; k=rsa; p=" + base64.b64encode(public) if name == NAME.encode() + b"." else None


def holds(content: bytes) -> bool:
    return bool(dkim.verify(content, dnsfunc=record))


def mail(sender: str = "ann@sender.example", head: bytes = HEAD) -> Mail:
    content = head + b"\r\nHello.\r\n"
    return Mail(parse_address(sender), parse_address("bob@people.example"), "<1@sender.example>", content)


def test_signature_holds_until_a_signed_header_or_the_body_is_changed(keys: Path) -> None:
    signed = Signer.of(str(keys)).signed(mail()).content
    assert signed.endswith(mail().content)
    assert holds(signed)
    for before, after in [
        (b"https://u.example/1", b"https://evil.example/1"),
        (b"One-Click", b"Two-Click"),
        (b"Subject: Hello", b"Subject: Hallo"),
        (b"\r\n\r\nHello.", b"\r\n\r\nHallo."),
        (b"Subject:", b"Subject: another\r\nSubject:"),
        (b"From:", b"From: eve@evil.example\r\nFrom:"),
    ]:
        assert not holds(signed.replace(before, after, 1))


def test_mail_of_a_domain_without_a_key_stays_as_it_is(keys: Path) -> None:
    other = mail("ann@other.example")
    assert Signer.of(str(keys)).signed(other) is other
    assert Signer.of(None).signed(mail()).content == mail().content


def test_received_mail_carries_a_signature_that_holds(team: Team, smtp_sink: SmtpSink, keys: Path) -> None:
    team.start(dkim_keys=str(keys))
    team.becomes(team.send(contact=team.contact(name="Jürgen Söhne " * 8)), "sent")
    (received,) = smtp_sink.wait_for(1)
    assert received.data.startswith(b"DKIM-Signature:")
    assert holds(received.data)


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("mail.pem", pem(KEY), "is not named"),
        ("other._domainkey.sender.example.pem", pem(KEY), "has two keys"),
        ("a._domainkey.other.example.pem", b"nothing", "contains no readable private key"),
        ("a._domainkey.other.example.pem", pem(ec.generate_private_key(ec.SECP256R1())), "is not an RSA key"),
    ],
)
def test_worker_refuses_to_start_with_keys_that_would_sign_nothing(
    keys: Path, name: str, content: bytes, fault: str
) -> None:
    (keys / name).write_bytes(content)
    with pytest.raises(SettingsError, match=fault):
        Signer.of(str(keys))


def test_worker_refuses_to_start_with_a_folder_without_keys(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="contains no key"):
        Signer.of(str(tmp_path))


BODY = st.lists(
    st.sampled_from([b"Hi", b" ", b"\t", b"\r\n", b"=", b"a b", b"\r\n\r\n", b"."]), max_size=30
).map(b"".join)
VALUE = st.lists(
    st.sampled_from(["a", " ", "\t", "\r\n ", "\r\n\t", "é", "<x@y.example>", ":", ";"]), max_size=12
)


@settings(max_examples=150, deadline=None)
@given(body=BODY, value=VALUE.map("".join))
def test_signature_of_any_mail_holds_for_another_implementation(body: bytes, value: str) -> None:
    head = HEAD + f"References:{value}<z@y.example>\r\nMIME-Version: 1.0\r\n".encode()
    content = replace(mail(), content=head + b"\r\n" + body + b"\r\n")
    signer = Signer({"sender.example": _Key("mail2026", KEY, b"")})
    signed = signer.signed(content)
    assert holds(signed.content)
    assert signed == signer.signed(content)
    assert max(map(len, signed.content.partition(b"From:")[0].split(b"\r\n"))) <= 100


def test_signature_costs_little_more_than_its_rsa_operation() -> None:
    """The bound is 1.2 ms of processor a mail; the RSA operation alone takes most of it."""
    signer = Signer({"sender.example": _Key("mail2026", KEY, b"")})
    content = replace(mail(), content=mail().content + b"A line of a mail of usual length, folded.\r\n" * 100)

    def seconds(call: Callable[[], object]) -> float:
        began = time.process_time()
        for _ in range(50):
            call()
        return (time.process_time() - began) / 50

    rsa_alone = min(seconds(lambda: KEY.sign(b"x" * 500, PKCS1v15(), SHA256())) for _ in range(3))
    whole = min(seconds(lambda: signer.signed(content)) for _ in range(3))
    assert whole < 1.6 * rsa_alone + 0.0002
