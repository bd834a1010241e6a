"""Signs mails with DKIM if the worker holds a key of the sender's domain; covers the unsubscribe headers."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

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


_LINE = 72  # characters of base64 a line
_BLANKS = re.compile(rb"[ \t]+")
_FOLD = re.compile(rb"\r\n(?=[ \t])")


@dataclass(frozen=True)
class _Key:
    selector: str
    private: RSAPrivateKey
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
            keys[named[2]] = _Key(named[1], *_read_key(file))
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
        head, _, body = mail.content.partition(b"\r\n\r\n")
        signature = _signature(key, mail.sender.domain.lower(), _fields(head), body)
        return replace(mail, content=signature + mail.content)


def _signature(key: _Key, domain: str, fields: Mapping[str, bytes], body: bytes) -> bytes:
    """Return the header DKIM-Signature (RFC 6376, relaxed/relaxed, rsa-sha256), with its line end."""
    names = (*(name for name in _SIGNED if name in fields), *_ONCE)
    tags = (
        f"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n d={domain};\r\n s={key.selector};\r\n"
        f" h={_folded(':'.join(names), ':')};\r\n"
        f" bh={b64encode(sha256(_relaxed_body(body)).digest()).decode()};\r\n b="
    ).encode()
    signed = (fields[name] for name in dict.fromkeys(names) if name in fields)
    own = _relaxed_field(tags.partition(b":")[2])
    content = b"".join((*signed, b"dkim-signature:" + own))
    text = b64encode(key.private.sign(content, PKCS1v15(), SHA256())).decode()
    lines = "\r\n ".join(text[at : at + _LINE] for at in range(0, len(text), _LINE))
    return tags + lines.encode() + b"\r\n"


def _fields(head: bytes) -> dict[str, bytes]:
    """Return the header's fields by name, in the form that is signed."""
    fields = {}
    for line in _FOLD.sub(b"", head).split(b"\r\n"):
        name, _, value = line.partition(b":")
        key = name.strip().lower()
        fields[key.decode()] = key + b":" + _relaxed_field(value) + b"\r\n"
    return fields


def _relaxed_field(value: bytes) -> bytes:
    """Return a field's value unfolded, with single blanks and none around it (RFC 6376, 3.4.2)."""
    return _BLANKS.sub(b" ", _FOLD.sub(b"", value)).strip(b" ")


def _relaxed_body(body: bytes) -> bytes:
    """Return a body with single blanks, none before line ends, and no empty lines at its end (3.4.4)."""
    lines = _BLANKS.sub(b" ", body).replace(b" \r\n", b"\r\n").rstrip(b" ")
    stripped = lines.rstrip(b"\r\n")
    return stripped + b"\r\n" if stripped else b""


def _folded(text: str, separator: str) -> str:
    """Break a list at its separators so that no line exceeds _LINE characters."""
    lines = [""]
    for part in text.split(separator):
        if lines[-1] and len(lines[-1]) + len(part) >= _LINE:
            lines.append("")
        lines[-1] += part + separator
    return "\r\n  ".join(lines).removesuffix(separator)


def _read_key(file: Path) -> tuple[RSAPrivateKey, bytes]:
    """Return an RSA key, and its public key (DER); raise SettingsError."""
    try:
        key = load_pem_private_key(file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise SettingsError(f"DKIM_KEYS: {file.name} contains no readable private key: {error}") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < LEAST_RSA_BITS:
        raise SettingsError(f"DKIM_KEYS: {file.name} is not an RSA key of {LEAST_RSA_BITS} bits or more")
    return key, key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
