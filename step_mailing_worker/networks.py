"""Which servers a mailbox may name: mail servers on the open internet, by every address that their name has."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

SMTP_PORTS = frozenset({25, 465, 587, 2525})
IMAP_PORTS = frozenset({143, 993})
_CARRY_IPV4 = (
    IPv6Network("::/96"),
    IPv6Network("64:ff9b::/96"),
)  # in their last 32 bits; the latter is NAT64


def refusal(host: str, port: int, ports: frozenset[int]) -> str | None:
    """Return why no connection is made there, by what the name resolves to now; None where nothing forbids it.

    A name that resolves to nothing is nobody's network; the connection says so. Blocks: it asks the name server.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        found = []
    if any(is_private(peer) for *_, peer in found):
        return "private_host"
    return None if port in ports else "port_not_for_mail"


async def refusal_soon(host: str, port: int, ports: frozenset[int]) -> str | None:
    return await asyncio.to_thread(refusal, host, port, ports)


def is_private(peer: tuple[object, ...] | None) -> bool:
    """Return whether a connection leads to a network of our own, also by a detour, or nobody knows where."""
    if peer is None:
        return True
    address = ip_address(str(peer[0]).partition("%")[0])
    return not all(one.is_global and not one.is_multicast for one in (address, *_carried(address)))


def _carried(address: IPv4Address | IPv6Address) -> Iterator[IPv4Address]:
    """Yield the IPv4 addresses that a gateway or the kernel would lead an IPv6 address to."""
    if isinstance(address, IPv6Address):
        yield from (one for one in (address.ipv4_mapped, address.sixtofour, *(address.teredo or ())) if one)
        if any(address in network for network in _CARRY_IPV4):
            yield IPv4Address(int(address) & 0xFFFF_FFFF)
