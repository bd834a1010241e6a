"""Checks that a mailbox's server is a mail server on the public internet, by all addresses of its name."""

from __future__ import annotations

import asyncio
import socket

from sequence_store.domain.states import AttemptReason
from sequence_store.networks import is_private

SMTP_PORTS = frozenset({25, 465, 587, 2525})
IMAP_PORTS = frozenset({143, 993})


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
