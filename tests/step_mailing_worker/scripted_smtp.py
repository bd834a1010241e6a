"""SMTP server on raw sockets that fails at a chosen stage."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import BinaryIO

DROP = "drop"
HANG = "hang"

_GREETINGS = {
    "banner": "220 scripted ready",
    "EHLO": "250-scripted\r\n250 AUTH PLAIN",
    "AUTH": "235 2.7.0 ok",
    "MAIL": "250 2.1.0 ok",
    "RCPT": "250 2.1.5 ok",
    "DATA": "354 go on",
    "dot": "250 2.0.0 ok: queued as SCRIPTED1",
    "RSET": "250 2.0.0 ok",
    "QUIT": "221 2.0.0 bye",
}


@dataclass
class ScriptedSmtp:
    """SMTP server; `script` maps a stage to a reply, DROP or HANG, and `once` does so for one time.

    Stages are `banner`, the commands, `body` (while it is read), `dot` and `answered` (after the reply to the
    dot). `mails` holds every mail received up to the dot, whether or not it was accepted.
    """

    script: dict[str, str] = field(default_factory=dict)
    once: dict[str, str] = field(default_factory=dict)
    extensions: tuple[str, ...] = ()
    mails: list[bytes] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self._peers: list[socket.socket] = []
        self._released = threading.Event()
        self.reached = threading.Event()
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def release(self) -> None:
        """Close the connections that hang."""
        self._released.set()

    def close(self) -> None:
        self.release()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for peer in self._peers:
            with suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            peer.settimeout(30)
            self._peers.append(peer)
            thread = threading.Thread(target=self._serve, args=(peer,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, peer: socket.socket) -> None:
        try:
            with peer, peer.makefile("rb") as lines:
                self._talk(peer, lines)
        except (OSError, _BrokenOff):
            pass

    def _talk(self, peer: socket.socket, lines: BinaryIO) -> None:
        self._answer(peer, "banner")
        for line in lines:
            command = line.decode(errors="replace").strip()
            self.commands.append(command)
            verb = command.split(" ")[0].upper()
            reply = self._answer(peer, verb)
            if verb == "QUIT":
                return
            if verb == "DATA" and reply == _GREETINGS["DATA"]:
                self._take(peer, lines)

    def _take(self, peer: socket.socket, lines: BinaryIO) -> None:
        content = bytearray()
        for line in lines:
            if "body" in self.script:
                self._break(self.script["body"])
            if line == b".\r\n":
                break
            content += line
        self.mails.append(bytes(content))
        self._answer(peer, "dot")
        if "answered" in self.script:
            self._break(self.script["answered"])

    def _answer(self, peer: socket.socket, stage: str) -> str:
        reply = (
            self.once.pop(stage, None) or self.script.get(stage) or _GREETINGS.get(stage, "500 5.5.1 what?")
        )
        if stage == "EHLO" and self.extensions and reply == _GREETINGS["EHLO"]:
            reply = "250-scripted\r\n" + "\r\n".join(f"250-{e}" for e in self.extensions) + "\r\n250 HELP"
        if reply in {DROP, HANG}:
            self._break(reply)
        peer.sendall(reply.encode() + b"\r\n")
        return reply

    def _break(self, how: str) -> None:
        self.reached.set()
        if how == HANG:
            self._released.wait(30)
        raise _BrokenOff


class _BrokenOff(Exception):  # noqa: N818
    pass
