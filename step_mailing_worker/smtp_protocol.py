"""Writes SMTP commands and reads replies on a signed-in connection, with pipelining (RFC 2920)."""

from __future__ import annotations

import asyncio
from collections import deque

import aiosmtplib

LONGEST_LINE = 8_192
LONGEST_REPLY = 32_768
_UNREADABLE = -1  # the code that aiosmtplib uses for a malformed reply


class SmtpProtocol(asyncio.Protocol):
    """Takes over a transport. Replies arrive in the order of their commands; an unexpected one closes it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.pending = 0  # replies to commands already written, not yet read
        self._buffer = bytearray()
        self._lines: list[bytes] = []
        self._replies: deque[tuple[int, str]] = deque()
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        transport.set_protocol(self)

    @property
    def closed(self) -> bool:
        return self._failure is not None or self.transport.is_closing()

    def send(self, *commands: bytes) -> None:
        """Write the commands together and expect a reply to each; raise ConnectionResetError if closed."""
        if any(b"\r" in command or b"\n" in command for command in commands):
            raise ValueError("an SMTP command must be a single line")
        self.write(b"".join(command + b"\r\n" for command in commands), replies=len(commands))

    def write(self, data: bytes, *, replies: int = 0) -> None:
        if self.closed:
            raise ConnectionResetError("the connection is closed")
        self.pending += replies
        self.transport.write(data)

    async def read_reply(self, seconds: float) -> tuple[int, str]:
        """Return the next reply's code and text; raise TimeoutError, OSError or SMTPResponseException."""
        async with asyncio.timeout(seconds):
            while not self._replies:
                if self._failure:
                    raise self._failure
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter
        self.pending -= 1
        return self._replies.popleft()

    def close(self) -> None:
        """Close; abort if data is unsent, since the transport would wait for the peer without limit."""
        if self.transport.is_closing():
            return
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\n")) >= 0 and not self._failure:
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            self._take(line)
        held = len(self._buffer) + sum(map(len, self._lines))
        if len(self._buffer) > LONGEST_LINE or held > LONGEST_REPLY:
            self._fail(aiosmtplib.SMTPResponseException(_UNREADABLE, "the reply is too long"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionResetError("connection lost"))

    def _take(self, line: bytes) -> None:
        if not line[:3].isdigit() or len(line) > LONGEST_LINE:
            self._fail(aiosmtplib.SMTPResponseException(_UNREADABLE, "the reply is malformed"))
            return
        self._lines.append(line[4:].strip())
        if line[3:4] == b"-":
            return
        if len(self._replies) == self.pending:
            self._fail(ConnectionResetError("the server sent a reply without a command"))
            return
        self._replies.append((int(line[:3]), b"\n".join(self._lines).decode("utf-8", "replace")))
        self._lines = []
        self._wake()

    def _fail(self, failure: Exception) -> None:
        self._failure = self._failure or failure
        self.close()
        self._wake()

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)
