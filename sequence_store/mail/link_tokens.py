"""Signs and verifies the tokens of the links in a mail, which name the send and the link.

A token is base64url of: the kind (1 byte), the send's key and the link's place as variable-length numbers,
the target of a tracked link, and the first 16 bytes of an HMAC-SHA256 over all of these. It holds no mail
address. It never expires, because a recipient must be able to unsubscribe years later.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sequence_store.domain.messages import SendKey

PROOF_BYTES = 16
LONGEST_TOKEN = 4_000  # longer links are not tracked: servers and mail programs reject longer URLs
_NUMBERS = 5


class LinkKind(StrEnum):
    """The purpose of a link."""

    OPEN = "o"
    CLICK = "c"
    UNSUBSCRIBE = "u"


@dataclass(frozen=True)
class Link:
    """A link of a mail; `place` counts the clickable links from 0, `target` is the URL of a tracked one."""

    kind: LinkKind
    send: SendKey
    place: int = 0
    target: str = ""


class LinkSigner:
    """Signs and verifies tokens. The first key signs; every listed key verifies."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = keys

    def sign(self, link: Link) -> str:
        said = _written(link)
        return base64.urlsafe_b64encode(said + _proof(self._keys[0], said)).decode().rstrip("=")

    def read(self, token: str) -> Link | None:
        """Return the link of a valid token, or None."""
        raw = _decoded(token)
        said, proof = raw[:-PROOF_BYTES], raw[-PROOF_BYTES:]
        # Try every key, so that the duration does not reveal which one signed.
        known = [hmac.compare_digest(proof, _proof(key, said)) for key in self._keys]
        return _read(said) if any(known) else None


def _proof(key: bytes, said: bytes) -> bytes:
    return hmac.digest(key, b"link:" + said, hashlib.sha256)[:PROOF_BYTES]


def _decoded(token: str) -> bytes:
    """Return a token's bytes; empty if it is not in the one canonical encoding."""
    if len(token) > LONGEST_TOKEN:
        return b""
    try:
        raw = base64.b64decode(
            token.encode("ascii") + b"=" * (-len(token) % 4), altchars=b"-_", validate=True
        )
    except (UnicodeError, binascii.Error):
        return b""
    return raw if base64.urlsafe_b64encode(raw).decode().rstrip("=") == token else b""


def _written(link: Link) -> bytes:
    numbers = b"".join(_number(part) for part in (*link.send, link.place))
    return link.kind.encode() + numbers + link.target.encode()


def _read(said: bytes) -> Link:
    kind, rest = LinkKind(said[:1].decode()), said[1:]
    numbers = []
    for _ in range(_NUMBERS):
        number, rest = _taken(rest)
        numbers.append(number)
    *key, place = numbers
    return Link(kind, SendKey(*key), place, rest.decode())


def _number(value: int) -> bytes:
    """Encode a number as LEB128: groups of 7 bits, lowest first; the high bit marks that more follow."""
    groups = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        groups.append(low | (0x80 if value else 0))
        if not value:
            return bytes(groups)


def _taken(data: bytes) -> tuple[int, bytes]:
    value = 0
    for place, group in enumerate(data):
        value |= (group & 0x7F) << (7 * place)
        if group < 0x80:  # noqa: PLR2004
            return value, data[place + 1 :]
    raise ValueError("number is truncated")
