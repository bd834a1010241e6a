"""Runs a minimal mail sink for measurements: `smtp_sink.py PORT FILE [SECONDS]`.

It accepts every mail, SECONDS after the final dot. On SIGTERM it writes two float64 per mail to FILE, in the
order of acceptance: the time in seconds since the epoch, and the number in the recipient (7 for `c7@…`).
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from array import array
from pathlib import Path

_REPLIES = {
    b"EHLO": b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
    b"DATA": b"354 go on\r\n",
    b"QUIT": b"221 2.0.0 bye\r\n",
}
_OK = b"250 2.0.0 ok\r\n"


class Sink(asyncio.Protocol):
    accepted = array("d")
    seconds = 0.0

    def __init__(self) -> None:
        self._buffer = b""
        self._in_data = False
        self._number = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            end = b"\r\n.\r\n" if self._in_data else b"\r\n"
            position = self._buffer.find(end)
            if position < 0:
                return
            line, self._buffer = self._buffer[:position], self._buffer[position + len(end) :]
            if self._in_data:
                self._in_data = False
                self._accept()
                continue
            verb = line[:4].upper()
            if verb == b"RCPT":
                self._number = float(line[10 : line.index(b"@")])  # RCPT TO:<c7@
            self._in_data = verb == b"DATA"
            self._transport.write(_REPLIES.get(verb, _OK))

    def _accept(self) -> None:
        if Sink.seconds:
            asyncio.get_running_loop().call_later(Sink.seconds, self._reply, self._number)
        else:
            self._reply(self._number)

    def _reply(self, number: float) -> None:
        Sink.accepted.extend((time.time(), number))
        if not self._transport.is_closing():
            self._transport.write(_OK)


async def _serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    server = await loop.create_server(Sink, "127.0.0.1", port, backlog=1024)
    async with server:
        await stopped.wait()


if __name__ == "__main__":
    Sink.seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
    asyncio.run(_serve(int(sys.argv[1])))
    Path(sys.argv[2]).write_bytes(Sink.accepted.tobytes())
