"""Writes header values without the email package, which in some Python releases allows header injection.

CVE-2024-6923: the email package serializes the subject `=?utf-8?q?Hi=0ABcc:...?=` as two lines. Three
measures prevent this: values with control characters or encoded words are refused, all text that is not short
plain ASCII is encoded here, and `mail.py` parses the written mail and compares it with its input.
"""

from __future__ import annotations

import base64
import unicodedata
from collections.abc import Iterable, Iterator
from email.header import decode_header, make_header

from sequence_store.domain.addresses import Address

_PLAIN_LENGTH = 60
_WORD_BYTES = 42  # base64 in an encoded word makes them 68 characters, 77 after `Subject: `
_REFUSED = frozenset({"Cc", "Cs", "Zl", "Zp"})


def checked(value: str) -> str:
    """Return a value without outer spaces; raise ValueError for control characters and encoded words."""
    stripped = value.strip(" ")
    if any(unicodedata.category(c) in _REFUSED for c in stripped):
        raise ValueError("control characters")
    if "=?" in stripped:
        raise ValueError("an encoded word")
    return stripped


def text(value: str) -> str:
    """Return a checked value as unstructured text, encoded unless it is short plain ASCII."""
    if value.isascii() and len(value) <= _PLAIN_LENGTH:
        return value
    return _encoded_words(value)


def mailbox(name: str, address: Address) -> str:
    """Return `"name" <address>` for a checked name, or the bare address if the name is empty."""
    if not name:
        return str(address)
    if name.isascii() and len(name) <= _PLAIN_LENGTH:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}"\r\n <{address}>'
    return f"{_encoded_words(name)}\r\n <{address}>"


def folded(values: Iterable[str]) -> str:
    """Return the values on one folded line each, separated by white space."""
    return "\r\n ".join(values)


def decoded(value: str) -> str:
    """Return a received header's value with its encoded words decoded."""
    return str(make_header(decode_header(value)))


def _encoded_words(value: str) -> str:
    return folded(f"=?utf-8?b?{base64.b64encode(chunk).decode()}?=" for chunk in _chunks(value))


def _chunks(value: str) -> Iterator[bytes]:
    """Split into chunks of UTF-8, each of which ends with a whole character."""
    chunk = b""
    for character in value:
        encoded = character.encode()
        if len(chunk) + len(encoded) > _WORD_BYTES:
            yield chunk
            chunk = b""
        chunk += encoded
    yield chunk
