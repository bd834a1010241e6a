"""Posts a message to a receiver: https only, its peer checked, no redirects, no proxy, a bounded answer.

Outside the environment `local` a receiver in a private network is refused twice: no address of its name may
be private, and the peer of the connection is checked before the request is written, because a name may
resolve to another address a moment later.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpcore

from sequence_store.networks import is_private
from sequence_store.webhook_urls import check_url

CONNECT_SECONDS = 10.0
TOTAL_SECONDS = 30.0  # from the connection to the end of the answer, however slowly it comes
LARGEST_ANSWER = 64 * 1024
GONE = 410


class RefusedError(Exception):
    """The receiver must not be contacted; the text says why."""


@dataclass(frozen=True)
class Answer:
    """What came of a message: delivered, or why not. `gone`: the receiver wants no more."""

    delivered: bool
    text: str
    gone: bool = False


class Receivers:
    """Posts messages; each one opens a connection of its own, so a slow receiver delays no other."""

    def __init__(self, *, local: bool, total_seconds: float = TOTAL_SECONDS) -> None:
        self._local = local
        self._seconds = total_seconds
        self._tls = ssl.create_default_context()

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Post a message; any failure is an answer, too."""
        try:
            check_url(url, local=self._local)
        except ValueError as error:
            return Answer(delivered=False, text=f"refused: the URL {error}")
        backend = _CheckedBackend(local=self._local, deadline=time.monotonic() + self._seconds)
        try:
            with httpcore.ConnectionPool(ssl_context=self._tls, network_backend=backend) as pool:
                return _answer(pool, url, headers, body)
        except RefusedError as error:
            return Answer(delivered=False, text=f"refused: {error}")
        except (httpcore.TimeoutException, TimeoutError):
            return Answer(delivered=False, text=f"no answer within {self._seconds:.0f} s")
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError, ssl.SSLError) as error:
            return Answer(delivered=False, text=f"{type(error).__name__}: {_one_line(error)}")


def _answer(pool: httpcore.ConnectionPool, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
    timeouts = {"connect": CONNECT_SECONDS, "read": TOTAL_SECONDS, "write": TOTAL_SECONDS, "pool": 1.0}
    request = {**headers, "Content-Length": str(len(body)), "Connection": "close"}
    fields = [
        (b"Host", urlsplit(url).netloc.encode()),
        *((k.encode(), v.encode()) for k, v in request.items()),
    ]
    with pool.stream("POST", url, headers=fields, content=body, extensions={"timeout": timeouts}) as answer:
        read = 0
        for block in answer.iter_stream():
            read += len(block)
            if read > LARGEST_ANSWER:
                break  # the status counts; the rest is not read
        status = answer.status
    if 200 <= status < 300:  # noqa: PLR2004
        return Answer(delivered=True, text=f"status {status}")
    redirect = 300 <= status < 400  # noqa: PLR2004
    text = f"status {status}{', and redirects are not followed' if redirect else ''}"
    return Answer(delivered=False, text=text, gone=status == GONE)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:150]


class _CheckedBackend(httpcore.NetworkBackend):
    """Connects to public peers only, and ends every wait at the deadline."""

    def __init__(self, *, local: bool, deadline: float) -> None:
        self._backend = httpcore.SyncBackend()
        self._local = local
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        if not self._local:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            if any(is_private(peer) for *_, peer in found):
                raise RefusedError("its name leads into a private network")
        stream = self._backend.connect_tcp(host, port, timeout, local_address, socket_options)
        if not self._local and is_private(stream.get_extra_info("server_addr")):
            stream.close()
            raise RefusedError("its peer is in a private network")
        return _BoundedStream(stream, self._deadline)

    def connect_unix_socket(self, *_arguments: Any, **_options: Any) -> httpcore.NetworkStream:
        raise RefusedError("it is no network address")

    def sleep(self, seconds: float) -> None:
        self._backend.sleep(seconds)


class _BoundedStream(httpcore.NetworkStream):
    """A connection whose waits end at a deadline, whatever their own timeouts are."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, self._left(timeout))
        return _BoundedStream(stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def _left(self, timeout: float | None) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the deadline has passed")
        return left if timeout is None else min(left, timeout)
