"""Tells whether a peer is in a private network, also through an address that embeds another one."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

# IPv6 networks whose last 32 bits are an IPv4 address; the second is NAT64.
_EMBED_IPV4 = (IPv6Network("::/96"), IPv6Network("64:ff9b::/96"))


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
