"""Encrypts the secrets of mailboxes for the database, and recognises references to AWS Secrets Manager.

An encrypted ("sealed") secret is `sealed:` and a Fernet token (AES-128-CBC with HMAC-SHA256). The first key
encrypts and every key decrypts, so keys can be rotated. A secret without a prefix was entered by SQL in plain
text; only the environment `local` accepts it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from sequence_store.domain.states import AttemptReason
from sequence_store.errors import SecretError
from sequence_store.settings import LOCAL, SecretSettings

_SEALED = "sealed:"
_ARN = re.compile(r"arn:aws[\w-]*:secretsmanager:([\w-]+):\d+:secret:\S+")
_NAMED = "secretsmanager:"


class SecretBox:
    """Encrypts and decrypts secrets with the deployment's keys, newest first."""

    def __init__(self, keys: Sequence[str], *, takes_unsealed: bool) -> None:
        self._keys = MultiFernet([Fernet(key) for key in keys])
        self._newest = Fernet(keys[0])
        self._takes_unsealed = takes_unsealed

    @classmethod
    def of(cls, settings: SecretSettings) -> SecretBox:
        return cls(settings.keys_of_secrets, takes_unsealed=settings.sequence_environment == LOCAL)

    def seal(self, secret: str) -> str:
        """Return the secret as it is stored: encrypted, or unchanged if it is a reference."""
        return secret if is_reference(secret) else _SEALED + self._keys.encrypt(secret.encode()).decode()

    def open(self, stored: str) -> str:
        """Return the decrypted secret, or a reference unchanged; raise SecretError if no key decrypts it."""
        if is_reference(stored):
            return stored
        if not stored.startswith(_SEALED):
            if self._takes_unsealed:
                return stored
            raise SecretError(AttemptReason.SECRET_NOT_SEALED)
        try:
            return self._keys.decrypt(stored.removeprefix(_SEALED)).decode()
        except InvalidToken:
            raise SecretError(AttemptReason.SECRET_OF_ANOTHER_KEY) from None

    def is_current(self, stored: str) -> bool:
        """Return whether the newest key encrypted it, so that it needs none of the older keys."""
        if is_reference(stored):
            return True
        try:
            self._newest.decrypt(stored.removeprefix(_SEALED))
        except InvalidToken:
            return False
        return stored.startswith(_SEALED)


def is_reference(secret: str) -> bool:
    """Return whether this is a reference to AWS Secrets Manager."""
    return secret.startswith(_NAMED) or _ARN.fullmatch(secret) is not None


def referred(reference: str) -> tuple[str, str | None]:
    """Return the secret id of a reference, and the region of its ARN or None."""
    arn = _ARN.fullmatch(reference)
    return reference.removeprefix(_NAMED), arn[1] if arn else None
