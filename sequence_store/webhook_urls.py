"""Tells whether a URL can receive webhooks; the API and the sender use the same rule."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from sequence_store.domain.addresses import HOST_LABEL
from sequence_store.loopback import is_loopback
from sequence_store.networks import is_private

LONGEST_URL = 2_000
HTTPS_PORT = 443
_PRINTABLE = re.compile(r"[!-~]+")
_INTERNAL = ("localhost", "local", "internal", "lan", r"home\.arpa")  # the ends of names in private networks
# A last label that begins with a digit would be read as an IPv4 address.
_NAME = rf"({HOST_LABEL}\.){{1,120}}[A-Za-z]([A-Za-z0-9-]{{0,61}}[A-Za-z0-9])?"
_PRIVATE = rf"([A-Za-z0-9-]+\.)*({'|'.join(_INTERNAL)})"

# The documented URLs. A public IP address may stand for the name.
URL_PATTERN = rf"^https://(?!{_PRIVATE}\.?(:443)?([/?]|$)){_NAME}\.?(:443)?([/?][!\"$-\[\]-~]*)?$"


def check_url(url: str, *, local: bool) -> str:
    """Return the URL; raise ValueError, whose text says what is wrong, if it cannot receive webhooks.

    It must be https on port 443 and not in a private network. In the environment `local`, loopback addresses
    are allowed, too, with http and any port.
    """
    if len(url) > LONGEST_URL or not _PRINTABLE.fullmatch(url):
        raise ValueError(
            f"must be a URL of at most {LONGEST_URL} printable ASCII characters; write a name in Punycode"
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("is not a URL like https://example.com/hook") from None
    if not host or parts.scheme not in {"http", "https"}:
        raise ValueError("must be a URL like https://example.com/hook")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not contain a user name or a password; verify the signature instead")
    if "#" in url or "\\" in url:
        raise ValueError("must not contain a fragment or a backslash")
    if local and is_loopback(url):
        return url
    if parts.scheme != "https" or port not in {None, HTTPS_PORT}:
        raise ValueError("must be https on port 443")
    if _is_internal(host):
        raise ValueError("must have the name or the address of a public host, not of a private network")
    return url


def _is_internal(host: str) -> bool:
    name = host.rstrip(".").lower()
    try:
        return is_private((str(ip_address(name)),))
    except ValueError:
        pass
    return not re.fullmatch(_NAME, name) or re.fullmatch(_PRIVATE, name) is not None
