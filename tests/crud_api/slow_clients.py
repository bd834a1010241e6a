"""Clients that break off, stall or are slow: sockets that do what no HTTP library does."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from local_stack.ports import LOOPBACK


def request(port: int, text: str) -> socket.socket:
    """Open a connection, send `text` as it is, and return the socket."""
    client = socket.create_connection((LOOPBACK, port), timeout=30)
    client.sendall(text.encode())
    return client


def begin_download(port: int, path: str) -> socket.socket:
    """Request a file, take its first part and nothing more."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # so that the server soon cannot send on
    client.settimeout(30)
    client.connect((LOOPBACK, port))
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: api\r\n\r\n".encode())
    head = client.recv(1024)
    assert head.startswith(b"HTTP/1.1 200 "), head
    return client


def break_off(client: socket.socket, *, hard: bool) -> None:
    """Close the connection with FIN, or, as a killed client does, with RST."""
    if hard:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@contextmanager
def many(opened: Iterator[socket.socket]) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [stack.enter_context(one) for one in opened]


def seconds_until_closed(client: socket.socket, *, drip: bytes = b"") -> float:
    """Return how long the server keeps the connection; send a byte of `drip` every half second meanwhile."""
    began = time.monotonic()
    client.settimeout(0.5)
    rest = iter(drip)
    while True:
        try:
            if not client.recv(65_536):
                return time.monotonic() - began
        except TimeoutError:
            with_more = next(rest, None)
            if with_more is not None:
                try:
                    client.sendall(bytes([with_more]))
                except OSError:
                    return time.monotonic() - began
        except OSError:
            return time.monotonic() - began
