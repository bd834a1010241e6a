"""Sends mails over one SMTP connection: aiosmtplib connects and signs in, SmtpProtocol does the rest.

Common clients write the body and the final dot together and report every broken connection alike. This module
records the phase and writes the dot separately: after a failure before the dot the mail can be sent again;
after a failure behind the dot the outcome is unknown.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

import aiosmtplib

from sequence_store.domain.states import AttemptReason
from sequence_store.failpoints import Failpoint, reach
from sequence_store.networks import is_private
from step_mailing_worker.credentials import Credential
from step_mailing_worker.errors import (
    LostError,
    RefusedError,
    UntrustedError,
)
from step_mailing_worker.mail import Mail
from step_mailing_worker.networks import SMTP_PORTS, refusal_soon
from step_mailing_worker.sinks import is_sink
from step_mailing_worker.smtp_protocol import SmtpProtocol
from step_mailing_worker.smtp_replies import SERVICE_CLOSES, Phase, Reply

Security = Literal["none", "starttls", "tls"]

_SEND_BUFFER_BYTES = 65_536  # of the kernel; data still in it has not reached the server
_QUIT_SECONDS = 1.0
_START_INPUT = 354
_ERRORS = 400
_LEADING_DOT = re.compile(rb"(?m)^\.")


@dataclass(frozen=True)
class Endpoint:
    """A mailbox's server and sign-in; connections are kept per endpoint."""

    mailbox_id: int
    host: str
    port: int
    security: Security
    helo: str
    public: bool = False  # refuse private addresses: the customer names the host, not the deployment
    delivers: bool = False  # refuse a mail sink
    username: str | None = None
    secret: str | None = field(
        default=None, repr=False, compare=False
    )  # as stored: sealed, plain or a reference


@dataclass(frozen=True)
class Bounds:
    """Time limits for the server's replies, in seconds."""

    command: float
    final_dot: float


@cache
def tls_context() -> ssl.SSLContext:
    return ssl.create_default_context()


class SmtpConnection:
    """A signed-in connection. `broken` if it must not be used again; `dirty` from MAIL to the final reply."""

    def __init__(self, endpoint: Endpoint, bounds: Bounds) -> None:
        self.endpoint = endpoint
        self.dirty = False
        self.mails = 0
        self.phase = Phase.CONNECT
        self._bounds = bounds
        self._protocol: SmtpProtocol | None = None
        self._rcpt_pipelined = False
        self._client = aiosmtplib.SMTP(
            hostname=endpoint.host,
            port=endpoint.port,
            local_hostname=endpoint.helo,
            timeout=bounds.command,
            use_tls=endpoint.security == "tls",
            start_tls=False,
            tls_context=None if endpoint.security == "none" else tls_context(),
        )

    @property
    def broken(self) -> bool:
        return self._protocol.closed if self._protocol else not self._client.is_connected

    async def open(self, credential: Credential | None = None) -> None:
        """Connect, send EHLO, start TLS and sign in; raise SmtpError."""
        async with self._in(Phase.CONNECT):
            await self._check_host()
            greeting = await self._client.connect()
            if self.endpoint.delivers and is_sink(greeting.message):
                raise UntrustedError(AttemptReason.MAIL_SINK)
            if self.endpoint.public and is_private(self._client.get_transport_info("peername")):
                raise UntrustedError(AttemptReason.PRIVATE_HOST)
            self._limit_send_buffer()
        async with self._in(Phase.EHLO):
            await self._client.ehlo()
        if self.endpoint.security == "starttls":
            await self._start_tls()
        if self.endpoint.username is not None and credential is not None:
            await self._sign_in(self.endpoint.username, credential)
        async with self._in(Phase.EHLO):
            if not isinstance(self._client.transport, asyncio.Transport):
                raise LostError(Phase.EHLO)
            self._protocol = SmtpProtocol(self._client.transport)

    async def _check_host(self) -> None:
        endpoint = self.endpoint
        if endpoint.public and (reason := await refusal_soon(endpoint.host, endpoint.port, SMTP_PORTS)):
            raise UntrustedError(reason)

    async def mail(self, mail: Mail) -> None:
        """Begin a mail: send MAIL FROM, together with RCPT TO if the server offers PIPELINING."""
        if mail.needs_utf8 and not self._client.supports_extension("smtputf8"):
            raise mail.smtputf8_error()
        command = f"MAIL FROM:<{mail.sender}>"
        if mail.needs_utf8:
            command += " SMTPUTF8 BODY=8BITMIME"
        if self._client.supports_extension("size"):
            command += f" SIZE={len(mail.content)}"
        self._rcpt_pipelined = self._client.supports_extension("pipelining")
        more = [_rcpt(mail)] if self._rcpt_pipelined else []
        self.dirty = True
        await self._command(Phase.MAIL, command.encode(), *more)

    async def rcpt(self, mail: Mail) -> None:
        """Send RCPT TO, unless it was pipelined, and read its reply; raise RefusedError or LostError."""
        await self._command(Phase.RCPT, *([] if self._rcpt_pipelined else [_rcpt(mail)]))

    async def transfer(self, mail: Mail) -> Reply:
        """Send DATA, the body and the final dot; return the final reply, also a refusal.

        Raise LostError: its phase is DOT if the server may have accepted the mail, else an earlier one.
        """
        await self._command(Phase.DATA, b"DATA", expected=_START_INPUT)
        async with self._in(Phase.BODY):
            protocol = self._open()
            protocol.write(_LEADING_DOT.sub(b"..", mail.content))
            await self._drained()
            reach(Failpoint.BEFORE_DOT)
            protocol.send(b".")  # raises if the connection is closed: the dot was not sent
        async with self._in(Phase.DOT):
            return await self._final_reply()

    async def reset(self) -> None:
        """Abort the mail that was begun, so that the connection can be kept."""
        async with self._in(Phase.MAIL):
            while self._open().pending:
                await self._open().read_reply(self._bounds.command)
        await self._command(Phase.MAIL, b"RSET")
        self.dirty = False

    async def quit(self) -> None:
        with suppress(OSError, aiosmtplib.SMTPException):  # a TimeoutError is an OSError
            self._open().send(b"QUIT")
            await self._open().read_reply(_QUIT_SECONDS)
        self.close()

    def close(self) -> None:
        if self._protocol:
            self._protocol.close()
        self._client.close()

    async def _start_tls(self) -> None:
        async with self._in(Phase.TLS):
            if not self._client.supports_extension("starttls"):
                raise UntrustedError(AttemptReason.STARTTLS_NOT_OFFERED)
            await self._client.starttls()
        async with self._in(Phase.EHLO):
            await self._client.ehlo()

    async def _sign_in(self, username: str, credential: Credential) -> None:
        async with self._in(Phase.AUTH):
            offered = set(self._client.server_auth_methods)
            if credential.kind == "token":
                if "xoauth2" not in offered:
                    raise UntrustedError(AttemptReason.XOAUTH2_NOT_OFFERED)
                await self._client.auth_xoauth2(username, credential.text)
            else:
                await self._sign_in_by_password(username, credential.text, offered)

    async def _sign_in_by_password(self, username: str, password: str, offered: set[str]) -> None:
        """Try one method only: the server would count each further one as another wrong password."""
        if "plain" in offered:
            await self._client.auth_plain(username, password)
        elif "login" in offered:
            await self._client.auth_login(username, password)
        elif "cram-md5" in offered:
            await self._client.auth_crammd5(username, password)
        else:
            raise UntrustedError(AttemptReason.SIGN_IN_NOT_OFFERED)

    async def _command(self, phase: Phase, *commands: bytes, expected: int | None = None) -> Reply:
        """Write the commands and read the phase's reply; raise RefusedError if the server refuses."""
        async with self._in(phase):
            if commands:
                self._open().send(*commands)
            code, text = await self._open().read_reply(self._bounds.command)
        reply = Reply(phase, code, text)
        if code == SERVICE_CLOSES:
            self.close()
        if code >= _ERRORS or (expected and code != expected):
            raise RefusedError(reply)
        return reply

    async def _final_reply(self) -> Reply:
        reach(Failpoint.AFTER_DOT)
        code, text = await self._open().read_reply(self._bounds.final_dot)
        self.mails += 1
        self.dirty = False
        if code == SERVICE_CLOSES:
            self.close()
        return Reply(Phase.DOT, code, text)

    def _open(self) -> SmtpProtocol:
        if self._protocol is None:
            raise ConnectionResetError("not open")
        return self._protocol

    async def _drained(self) -> None:
        """Wait until the kernel has taken the whole body; raise LostError if the peer closed meanwhile."""
        deadline = time.monotonic() + self._bounds.command
        while True:
            await asyncio.sleep(0)
            if self.broken:
                raise LostError(Phase.BODY)
            if not self._open().transport.get_write_buffer_size():
                return
            if time.monotonic() > deadline:
                raise LostError(Phase.BODY, timed_out=True)
            await asyncio.sleep(0.005)

    def _limit_send_buffer(self) -> None:
        raw = self._client.get_transport_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)

    @asynccontextmanager
    async def _in(self, phase: Phase) -> AsyncIterator[None]:
        """Record the phase and translate the errors raised in it; every error closes the connection."""
        self.phase = phase
        try:
            yield
        except BaseException as error:
            self.close()
            if translated := _translated(error, phase):
                raise translated from error
            raise


def _rcpt(mail: Mail) -> bytes:
    return f"RCPT TO:<{mail.recipient}>".encode()


def _translated(error: BaseException, phase: Phase) -> Exception | None:
    if isinstance(error.__cause__ or error, ssl.SSLCertVerificationError):
        return UntrustedError(AttemptReason.CERTIFICATE_NOT_TRUSTED)
    match error:
        case aiosmtplib.SMTPResponseException():
            return RefusedError(Reply(phase, error.code, error.message))
        case TimeoutError():
            return LostError(phase, timed_out=True)
        case aiosmtplib.SMTPException() | OSError():
            return LostError(phase)
        case Exception() if phase is Phase.DOT and not isinstance(error, LostError):
            return LostError(phase)  # after the dot, the mail may have been accepted whatever failed
    return None
