"""Tokens of links: each names a link of a send, and only the key's owner can make one."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from sequence_store.domain.messages import SendKey
from sequence_store.mail.link_tokens import LONGEST_TOKEN, Link, LinkKind, LinkSigner
from sequence_store.settings import ApiSettings

KEY = SendKey(12, 3_400_000, 56, 1)
SIGNER = LinkSigner([b"new", b"old"])
IDS = st.integers(0, 2**63 - 1)


@given(
    kind=st.sampled_from(LinkKind), key=st.tuples(IDS, IDS, IDS, IDS), place=IDS, target=st.text(max_size=200)
)
def test_token_reads_as_it_was_signed(kind: LinkKind, key: Any, place: int, target: str) -> None:
    link = Link(kind, SendKey(*key), place, target.encode(errors="ignore").decode())
    assert SIGNER.read(SIGNER.sign(link)) == link


def test_token_is_short_holds_no_address_and_is_the_same_each_time() -> None:
    link = Link(LinkKind.UNSUBSCRIBE, KEY)
    token = SIGNER.sign(link)
    assert len(token) < 40
    assert token == SIGNER.sign(link)


def test_token_of_an_older_key_is_accepted_and_of_an_unknown_key_is_not() -> None:
    link = Link(LinkKind.UNSUBSCRIBE, KEY)
    assert SIGNER.read(LinkSigner([b"old"]).sign(link)) == link
    assert SIGNER.read(LinkSigner([b"unknown"]).sign(link)) is None


@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_token_with_one_changed_bit_is_rejected(place: int, bit: int) -> None:
    token = SIGNER.sign(Link(LinkKind.CLICK, KEY, 3, "https://example.com/"))
    raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    raw[place % len(raw)] ^= 1 << bit
    assert SIGNER.read(base64.urlsafe_b64encode(raw).decode().rstrip("=")) is None


@given(st.text(max_size=80))
def test_any_other_text_is_rejected(text: str) -> None:
    assert SIGNER.read(text) is None


def test_token_has_one_canonical_encoding() -> None:
    token = SIGNER.sign(Link(LinkKind.OPEN, KEY))
    for other in (token + "=", token + " ", token + "\n", " " + token, token.replace("_", "/"), token[:-1]):
        assert other == token or SIGNER.read(other) is None
    assert SIGNER.read("A" * (LONGEST_TOKEN + 1)) is None


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"public_url": "https://mail.example"}, "LINK_KEYS must be set"),
        ({"link_keys": "x"}, "PUBLIC_URL must be https"),
        ({"link_keys": "x,,y", "public_url": "https://mail.example"}, "an empty key"),
        ({"link_keys": "x", "public_url": "ftp://mail.example"}, "public_url"),
        ({"link_keys": "x", "public_url": "https://mail.example/?a=1"}, "public_url"),
    ],
)
def test_outside_local_links_need_their_own_key_and_https(wrong: dict[str, Any], named: str) -> None:
    production = {
        "api_database_url": SecretStr("x"),
        "sequence_environment": "production",
        "address_key": "k",
        "secret_keys": "z" * 43 + "=",
    }
    with pytest.raises(ValidationError, match=named):
        ApiSettings(**(production | wrong))
