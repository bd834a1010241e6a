"""Header lines written by hand, since the running Python may be one whose email package lets lines be injected.

CVE-2024-6923: `=?utf-8?q?Hi=0ABcc:...?=` as a subject is serialized with a line of its own. So nothing that could
be read as a line or as an encoded word comes in, all that is not plain ASCII goes out as encoded words of ours,
and `mail.py` parses what was written and compares.
"""

from __future__ import annotations

import base64
import unicodedata
from collections.abc import Iterable, Iterator

from step_mailing_worker.addresses import Address

_PLAIN_LENGTH = 60
_WORD_BYTES = 42  # as base64 in an encoded word: 68 characters, 77 behind `Subject: `
_REFUSED = frozenset({"Cc", "Cs", "Zl", "Zp"})


def checked(value: str) -> str:
    """Return a header's value, stripped; raise ValueError for control characters and encoded words."""
    stripped = value.strip(" ")
    if any(unicodedata.category(c) in _REFUSED for c in stripped):
        raise ValueError("control characters")
    if "=?" in stripped:
        raise ValueError("an encoded word")
    return stripped


def text(value: str) -> str:
    """Return a checked value as unstructured text, encoded where it is not short plain ASCII."""
    if value.isascii() and len(value) <= _PLAIN_LENGTH:
        return value
    return _encoded_words(value)


def mailbox(name: str, address: Address) -> str:
    """Return `"name" <address>` of a checked name; the bare address where the name is empty."""
    if not name:
        return str(address)
    if name.isascii() and len(name) <= _PLAIN_LENGTH:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}"\r\n <{address}>'
    return f"{_encoded_words(name)}\r\n <{address}>"


def folded(values: Iterable[str]) -> str:
    """Return values that are separated by white space, each on a line."""
    return "\r\n ".join(values)


def _encoded_words(value: str) -> str:
    return folded(f"=?utf-8?b?{base64.b64encode(chunk).decode()}?=" for chunk in _chunks(value))


def _chunks(value: str) -> Iterator[bytes]:
    """Split into pieces of UTF-8 that each end with a whole character."""
    chunk = b""
    for character in value:
        encoded = character.encode()
        if len(chunk) + len(encoded) > _WORD_BYTES:
            yield chunk
            chunk = b""
        chunk += encoded
    yield chunk
