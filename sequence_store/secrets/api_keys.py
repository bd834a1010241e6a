"""The API's keys: what they look like, how they are kept, what each may be allowed."""

from __future__ import annotations

import hashlib
import secrets
from enum import StrEnum

PREFIX = "seq_"  # so that a scanner for leaked secrets knows one


class Scope(StrEnum):
    """What a key may do: read an area, or write it."""

    SEQUENCES_READ = "sequences:read"
    SEQUENCES_WRITE = "sequences:write"
    MAILBOXES_READ = "mailboxes:read"
    MAILBOXES_WRITE = "mailboxes:write"
    CONTACTS_READ = "contacts:read"
    CONTACTS_WRITE = "contacts:write"
    SENDS_READ = "sends:read"
    SUPPRESSIONS_READ = "suppressions:read"
    SUPPRESSIONS_WRITE = "suppressions:write"


def new_key() -> str:
    """Make a key of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def hash_key(key: str) -> bytes:
    """Return what is kept of a key; one of 256 random bits needs no slow hash."""
    return hashlib.sha256(key.encode()).digest()
