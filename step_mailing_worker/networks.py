"""Checks that a mailbox's server is a mail server on the public internet, by all addresses of its name."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from sequence_store.domain.states import AttemptReason

SMTP_PORTS = frozenset({25, 465, 587, 2525})
IMAP_PORTS = frozenset({143, 993})
# IPv6 networks whose last 32 bits are an IPv4 address; the second is NAT64.
_EMBED_IPV4 = (IPv6Network("::/96"), IPv6Network("64:ff9b::/96"))


def refusal(host: str, port: int, ports: frozenset[int]) -> AttemptReason | None:
    """Return the reason to refuse a connection, or None. Blocks: it resolves the name.

    A name that does not resolve is not refused; the connection to it fails.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        found = []
    if any(is_private(peer) for *_, peer in found):
        return AttemptReason.PRIVATE_HOST
    return None if port in ports else AttemptReason.PORT_NOT_FOR_MAIL


async def refusal_soon(host: str, port: int, ports: frozenset[int]) -> AttemptReason | None:
    return await asyncio.to_thread(refusal, host, port, ports)


def is_private(peer: tuple[object, ...] | None) -> bool:
    """Return whether a peer is in a private network, also through an embedded address, or is unknown."""
    if peer is None:
        return True
    address = ip_address(str(peer[0]).partition("%")[0])
    return not all(one.is_global and not one.is_multicast for one in (address, *_embedded(address)))


def _embedded(address: IPv4Address | IPv6Address) -> Iterator[IPv4Address]:
    """Yield the IPv4 addresses to which a gateway or the kernel would route an IPv6 address."""
    if isinstance(address, IPv6Address):
        yield from (one for one in (address.ipv4_mapped, address.sixtofour, *(address.teredo or ())) if one)
        if any(address in network for network in _EMBED_IPV4):
            yield IPv4Address(int(address) & 0xFFFF_FFFF)
