"""What a mailbox signs in with, as the database keeps it: sealed, or a reference to AWS Secrets Manager.

Sealed is `sealed:` and a Fernet token (AES-128-CBC with an HMAC-SHA256). Several keys may open, the first one
seals: that is how keys are rotated. What has neither mark was entered by SQL; only the environment `local` takes it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from sequence_store.errors import SecretError
from sequence_store.settings import LOCAL, SecretSettings

_SEALED = "sealed:"
_ARN = re.compile(r"arn:aws[\w-]*:secretsmanager:([\w-]+):\d+:secret:\S+")
_NAMED = "secretsmanager:"


class SecretBox:
    """Seals and opens secrets with the deployment's keys, the newest first."""

    def __init__(self, keys: Sequence[str], *, takes_unsealed: bool) -> None:
        self._keys = MultiFernet([Fernet(key) for key in keys])
        self._newest = Fernet(keys[0])
        self._takes_unsealed = takes_unsealed

    @classmethod
    def of(cls, settings: SecretSettings) -> SecretBox:
        return cls(settings.keys_of_secrets, takes_unsealed=settings.sequence_environment == LOCAL)

    def seal(self, secret: str) -> str:
        """Return a secret as it is stored; a reference is none, and stays readable."""
        return secret if is_reference(secret) else _SEALED + self._keys.encrypt(secret.encode()).decode()

    def open(self, stored: str) -> str:
        """Return what was sealed, a reference as it is; raise SecretError for what no key opens."""
        if is_reference(stored):
            return stored
        if not stored.startswith(_SEALED):
            if self._takes_unsealed:
                return stored
            raise SecretError("secret_not_sealed")
        try:
            return self._keys.decrypt(stored.removeprefix(_SEALED)).decode()
        except InvalidToken:
            raise SecretError("secret_of_another_key") from None

    def is_current(self, stored: str) -> bool:
        """Return whether the newest key sealed it, so that the older ones are not needed for it."""
        if is_reference(stored):
            return True
        try:
            self._newest.decrypt(stored.removeprefix(_SEALED))
        except InvalidToken:
            return False
        return stored.startswith(_SEALED)


def is_reference(secret: str) -> bool:
    """Return whether this names a secret that AWS Secrets Manager holds."""
    return secret.startswith(_NAMED) or _ARN.fullmatch(secret) is not None


def referred(reference: str) -> tuple[str, str | None]:
    """Return a reference's secret id and the region that its ARN names."""
    arn = _ARN.fullmatch(reference)
    return reference.removeprefix(_NAMED), arn[1] if arn else None
