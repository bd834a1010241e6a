"""DKIM: mails of a domain whose key this worker holds are signed, their unsubscribe headers among them."""

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
_LEAST_BITS = 1024
_SIGNED = (
    "from", "to", "subject", "date", "message-id", "in-reply-to", "references", "mime-version", "content-type",
    "list-unsubscribe", "list-unsubscribe-post",
)  # fmt: skip
_ONCE = ("from", "to", "subject", "date", "message-id")  # named once more than there are: none can be added


@dataclass(frozen=True)
class _Key:
    selector: str
    pem: bytes
    public: bytes


class Signer:
    """Signs with the keys that it was made with, by the sender's domain."""

    def __init__(self, keys: Mapping[str, _Key]) -> None:
        self._keys = keys

    @classmethod
    def of(cls, folder: str | None) -> Signer:
        """Read `<selector>._domainkey.<domain>.pem`, named as their DNS records; raise SettingsError."""
        keys: dict[str, _Key] = {}
        for file in sorted(Path(folder).glob("*.pem")) if folder else ():
            named = _FILE.fullmatch(file.name)
            if not named:
                raise SettingsError(f"DKIM_KEYS: {file.name} is not named <selector>._domainkey.<domain>.pem")
            if named[2] in keys:
                raise SettingsError(
                    f"DKIM_KEYS: {named[2]} has two keys; leave the one whose record is there"
                )
            keys[named[2]] = _Key(named[1], *_pem_of(file))
        if folder and not keys:
            raise SettingsError(f"DKIM_KEYS: no key in the folder {folder}")
        return cls(keys)

    def public_key_of(self, domain: str) -> dict[str, bytes]:
        """Return the domain's selector with its public key (DER), nothing where this worker signs nothing."""
        key = self._keys.get(domain.lower())
        return {key.selector: key.public} if key else {}

    def signed(self, mail: Mail) -> Mail:
        """Return the mail with its signature, or as it is where its domain has no key here."""
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
    """Return an RSA key as dkimpy takes it, and its public part (DER)."""
    try:
        key = load_pem_private_key(file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise SettingsError(f"DKIM_KEYS: {file.name} holds no private key: {error}") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < _LEAST_BITS:
        raise SettingsError(f"DKIM_KEYS: {file.name} is no RSA key of {_LEAST_BITS} bits or more")
    return (
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
        key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    )
