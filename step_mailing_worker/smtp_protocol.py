"""Commands and answers on a connection that is open and signed in. Several commands may be under way (RFC 2920)."""

from __future__ import annotations

import asyncio
from collections import deque

import aiosmtplib

LONGEST_LINE = 8_192
LONGEST_ANSWER = 32_768
_UNREADABLE = -1  # in place of a code, as aiosmtplib says it


class SmtpProtocol(asyncio.Protocol):
    """Takes over a transport. Answers come in the order of their commands; one that nobody asked for ends it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.owed = 0  # answers that are asked for and not read
        self._buffer = bytearray()
        self._lines: list[bytes] = []
        self._answers: deque[tuple[int, str]] = deque()
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        transport.set_protocol(self)

    @property
    def closed(self) -> bool:
        return self._failure is not None or self.transport.is_closing()

    def ask(self, *commands: bytes) -> None:
        """Write commands at once; an answer is owed for each."""
        if any(b"\r" in command or b"\n" in command for command in commands):
            raise ValueError("a command of two lines")
        self.write(b"".join(command + b"\r\n" for command in commands), answers=len(commands))

    def write(self, data: bytes, *, answers: int = 0) -> None:
        if self.closed:
            raise ConnectionResetError("closed")
        self.owed += answers
        self.transport.write(data)

    async def answer(self, seconds: float) -> tuple[int, str]:
        """Return the next answer's code and text; raise TimeoutError, OSError or SMTPResponseException."""
        async with asyncio.timeout(seconds):
            while not self._answers:
                if self._failure:
                    raise self._failure
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter
        self.owed -= 1
        return self._answers.popleft()

    def close(self) -> None:
        """Close; at once where the peer takes nothing more, which a transport would wait for without end."""
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
        if len(self._buffer) > LONGEST_LINE or held > LONGEST_ANSWER:
            self._fail(aiosmtplib.SMTPResponseException(_UNREADABLE, "answer too long"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionResetError("connection lost"))

    def _take(self, line: bytes) -> None:
        if not line[:3].isdigit() or len(line) > LONGEST_LINE:
            self._fail(aiosmtplib.SMTPResponseException(_UNREADABLE, "malformed answer"))
            return
        self._lines.append(line[4:].strip())
        if line[3:4] == b"-":
            return
        if len(self._answers) == self.owed:
            self._fail(ConnectionResetError("an answer to nothing"))
            return
        self._answers.append((int(line[:3]), b"\n".join(self._lines).decode("utf-8", "replace")))
        self._lines = []
        self._wake()

    def _fail(self, failure: Exception) -> None:
        self._failure = self._failure or failure
        self.close()
        self._wake()

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)
