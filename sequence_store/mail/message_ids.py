"""The Message-ID of a send's mail: its key with an HMAC, so that whatever names it names the row, and none is made up."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator

from sequence_store.domain.messages import SendKey

_PROOF_LENGTH = 24
_OURS = re.compile(r"(\d{1,19})\.(\d{1,19})\.(\d{1,19})\.(\d{1,5})\.([0-9a-f]{24})(?=@|$)")


def message_name(key: SendKey, secret: bytes) -> str:
    """Return the part before the `@`, which is also a send's name where a provider takes one along."""
    name = ".".join(str(part) for part in key)
    proof = hmac.digest(secret, b"message-id:" + name.encode(), hashlib.sha256).hex()[:_PROOF_LENGTH]
    return f"{name}.{proof}"


def message_id(key: SendKey, domain: str, secret: bytes) -> str:
    """Return the Message-ID of the send's mail, the same for every attempt."""
    return f"<{message_name(key, secret)}@{domain}>"


def keys_named_in(text: str, secret: bytes) -> Iterator[SendKey]:
    """Yield the sends whose name stands in a text, the last first: the nearest of a thread's References."""
    for found in reversed(list(_OURS.finditer(text))):
        key = SendKey(*(int(part) for part in found.groups()[:4]))
        if hmac.compare_digest(message_name(key, secret), found[0]):
            yield key
