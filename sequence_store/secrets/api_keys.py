"""Keys of the API: their format, their hash and their scopes."""

from __future__ import annotations

import hashlib
import secrets
from enum import StrEnum

PREFIX = "seq_"  # lets a scanner for leaked secrets recognise a key


class Scope(StrEnum):
    """A permission of a key: to read or to write one area."""

    SEQUENCES_READ = "sequences:read"
    SEQUENCES_WRITE = "sequences:write"
    MAILBOXES_READ = "mailboxes:read"
    MAILBOXES_WRITE = "mailboxes:write"
    CONTACTS_READ = "contacts:read"
    CONTACTS_WRITE = "contacts:write"
    SENDS_READ = "sends:read"
    WEBHOOKS_READ = "webhooks:read"
    WEBHOOKS_WRITE = "webhooks:write"
    SUPPRESSIONS_READ = "suppressions:read"
    SUPPRESSIONS_WRITE = "suppressions:write"


def new_key() -> str:
    """Return a new key of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def hash_key(key: str) -> bytes:
    """Return the hash that is stored; a key of 256 random bits needs no slow hash."""
    return hashlib.sha256(key.encode()).digest()
