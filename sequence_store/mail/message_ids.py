"""Builds and recognises the Message-ID of a send's mail: the send's key and an HMAC.

Any text that quotes a Message-ID identifies the row in `sends`; the HMAC rejects forged ones.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator

from sequence_store.domain.messages import SendKey

_PROOF_LENGTH = 24
_OURS = re.compile(r"(\d{1,19})\.(\d{1,19})\.(\d{1,19})\.(\d{1,5})\.([0-9a-fA-F]{24})(?=@|$)")


def message_name(key: SendKey, secret: bytes) -> str:
    """Return the part before the `@`; providers that accept a tag for a mail get it, too."""
    name = ".".join(str(part) for part in key)
    proof = hmac.digest(secret, b"message-id:" + name.encode(), hashlib.sha256).hex()[:_PROOF_LENGTH]
    return f"{name}.{proof}"


def message_id(key: SendKey, domain: str, secret: bytes) -> str:
    """Return the Message-ID of the send's mail; it is the same for every attempt."""
    return f"<{message_name(key, secret)}@{domain}>"


def keys_named_in(text: str, *secrets: bytes) -> Iterator[SendKey]:
    """Yield the keys of the sends that a text names, last first: References end with the nearest mail.

    Any of the secrets may have signed. Some servers write identifiers in upper case.
    """
    for found in reversed(list(_OURS.finditer(text))):
        key = SendKey(*(int(part) for part in found.groups()[:4]))
        if any(hmac.compare_digest(message_name(key, secret), found[0].lower()) for secret in secrets):
            yield key
