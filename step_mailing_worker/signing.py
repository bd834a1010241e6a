"""Signs mails with DKIM if the worker holds a key of the sender's domain; covers the unsubscribe headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import dkim
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from sequence_store.errors import SettingsError
from step_mailing_worker.mail import Mail

_FILE = re.compile(r"([a-z0-9.-]+)\._domainkey\.([a-z0-9.-]+)\.pem")
LEAST_RSA_BITS = 1024
# Listed once more than they occur, so that an added one breaks the signature (RFC 6376, 8.15).
_ONCE = ("from", "to", "subject", "date", "message-id")
_SIGNED = (
    *_ONCE,
    "in-reply-to",
    "references",
    "mime-version",
    "content-type",
    "list-unsubscribe",
    "list-unsubscribe-post",
)


@dataclass(frozen=True)
class _Key:
    selector: str
    pem: bytes
    public: bytes


class Signer:
    """Signs mails with the key of the sender's domain."""

    def __init__(self, keys: Mapping[str, _Key]) -> None:
        self._keys = keys

    @classmethod
    def of(cls, folder: str | None) -> Signer:
        """Read the keys `<selector>._domainkey.<domain>.pem` of a folder; raise SettingsError."""
        keys: dict[str, _Key] = {}
        for file in sorted(Path(folder).glob("*.pem")) if folder else ():
            named = _FILE.fullmatch(file.name)
            if not named:
                raise SettingsError(f"DKIM_KEYS: {file.name} is not named <selector>._domainkey.<domain>.pem")
            if named[2] in keys:
                raise SettingsError(
                    f"DKIM_KEYS: {named[2]} has two keys; keep the one whose DNS record is published"
                )
            keys[named[2]] = _Key(named[1], *_pem_of(file))
        if folder and not keys:
            raise SettingsError(f"DKIM_KEYS: the folder {folder} contains no key (*.pem)")
        return cls(keys)

    def public_key_of(self, domain: str) -> dict[str, bytes]:
        """Return the domain's selector with its public key (DER), or an empty dict if there is no key."""
        key = self._keys.get(domain.lower())
        return {key.selector: key.public} if key else {}

    def signed(self, mail: Mail) -> Mail:
        """Return the mail with its signature, or unchanged if the worker has no key of its domain."""
        key = self._keys.get(mail.sender.domain.lower())
        if key is None:
            return mail
        head = mail.content.partition(b"\r\n\r\n")[0].decode().lower()
        names = {line.partition(":")[0] for line in head.split("\r\n") if line[:1] not in {" ", "\t"}}
        signature = dkim.sign(
            mail.content,
            key.selector.encode(),
            mail.sender.domain.lower().encode(),
            key.pem,
            canonicalize=(b"relaxed", b"relaxed"),
            include_headers=[name.encode() for name in (*(n for n in _SIGNED if n in names), *_ONCE)],
        )
        return replace(mail, content=signature + mail.content)


def _pem_of(file: Path) -> tuple[bytes, bytes]:
    """Return an RSA key in the form that dkimpy reads (PEM, PKCS #1), and its public key (DER)."""
    try:
        key = load_pem_private_key(file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise SettingsError(f"DKIM_KEYS: {file.name} contains no readable private key: {error}") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < LEAST_RSA_BITS:
        raise SettingsError(f"DKIM_KEYS: {file.name} is not an RSA key of {LEAST_RSA_BITS} bits or more")
    return (
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
        key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    )
