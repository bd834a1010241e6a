"""SMTP with the final-dot rule: before the dot a lost connection means again, after it nobody knows."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import aiosmtplib

from sequence_store.settings import WorkerSettings
from step_mailing_worker.crash_points import CrashPoint, reach
from step_mailing_worker.errors import DeliveryFailed, OutcomeUnknown
from step_mailing_worker.replies import Reply
from step_mailing_worker.store import Claimed

_LOST = (aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPTimeoutError, OSError, TimeoutError)
_LINE_START_DOT = re.compile(rb"^\.", re.MULTILINE)


@dataclass(frozen=True)
class Account:
    """Where and how a mailbox signs in; connections are kept by it."""

    mailbox_id: int
    host: str
    port: int
    security: str
    username: str | None
    secret: str | None = field(repr=False)

    @classmethod
    def of(cls, send: Claimed, settings: WorkerSettings) -> Account:
        own = send.smtp_host is not None
        return cls(
            send.mailbox_id,
            send.smtp_host or settings.smtp_host,
            send.smtp_port or (587 if own else settings.smtp_port),
            send.smtp_security or ("starttls" if own else settings.smtp_security),
            send.smtp_username,
            open_secret(send.smtp_secret),
        )


def open_secret(stored: str | None) -> str | None:
    """Return a stored secret in clear."""
    return stored


Client = aiosmtplib.SMTP


class Connections:
    """Kept connections, a list a mailbox; one is used by one send at a time."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._idle: dict[Account, list[Client]] = defaultdict(list)

    async def take(self, account: Account) -> tuple[Client, bool]:
        """Return a connection that is signed in, and whether it was kept from an earlier send."""
        while self._idle[account]:
            client = self._idle[account].pop()
            if client.is_connected:
                return client, True
        return await self.open(account), False

    async def open(self, account: Account) -> Client:
        client = aiosmtplib.SMTP(
            hostname=account.host,
            port=account.port,
            use_tls=account.security == "tls",
            start_tls=account.security == "starttls",
            timeout=self._settings.smtp_timeout_seconds,
        )
        try:
            await client.connect()
            await client.ehlo()
            if account.username:
                await client.login(account.username, account.secret or "")
        except aiosmtplib.SMTPAuthenticationError as error:
            client.close()
            raise DeliveryFailed(Reply("AUTH", error.code, error.message)) from None
        except aiosmtplib.SMTPResponseException as error:
            client.close()
            raise DeliveryFailed(Reply("CONNECT", error.code, error.message)) from None
        except (aiosmtplib.SMTPException, *_LOST) as error:
            client.close()
            raise DeliveryFailed(Reply("CONNECT", 0, type(error).__name__)) from None
        return client

    def keep(self, account: Account, client: Client) -> None:
        if client.is_connected:
            self._idle[account].append(client)

    async def close(self) -> None:
        for clients in self._idle.values():
            for client in clients:
                with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
                    await client.quit(timeout=2)
        self._idle.clear()


async def transmit(
    client: Client,
    sender: str,
    recipient: str,
    body: bytes,
    gate: Callable[[], Awaitable[bool]],
    settings: WorkerSettings,
) -> Reply | None:
    """Send one mail; return the final answer, or None where `gate` (asked after RCPT) forbids it.

    Raises DeliveryFailed where the mail cannot have gone out, OutcomeUnknown where it may have.
    """
    await _command(client, "MAIL", f"FROM:<{sender}>".encode())
    await _command(client, "RCPT", f"TO:<{recipient}>".encode())
    reach(CrashPoint.AFTER_RCPT)
    if not await gate():
        await _command(client, "RSET")
        return None
    reach(CrashPoint.AFTER_TRANSMITTING)
    await _command(client, "DATA", expected=354)
    await _write(client, body)
    reach(CrashPoint.BEFORE_DOT)
    return await _final_dot(client, settings.smtp_final_dot_seconds)


async def _command(client: Client, name: str, argument: bytes | None = None, *, expected: int = 250) -> Reply:
    parts = [name.encode()] if argument is None else [name.encode(), argument]
    try:
        code, text = await client.execute_command(*parts)
    except (aiosmtplib.SMTPException, *_LOST) as error:
        client.close()
        raise DeliveryFailed(Reply(name, 0, type(error).__name__)) from None
    reply = Reply(name, code, text)
    if code != expected and not (name == "RCPT" and code == 251):  # noqa: PLR2004
        if name != "RSET":
            with suppress(DeliveryFailed):
                await _command(client, "RSET")
        raise DeliveryFailed(reply)
    return reply


async def _write(client: Client, body: bytes) -> None:
    """Write the body without its dot; a server that is gone by now cannot have taken the mail."""
    stuffed = _LINE_START_DOT.sub(b"..", body)
    transport = client.transport
    if not isinstance(transport, asyncio.WriteTransport) or transport.is_closing():
        raise DeliveryFailed(Reply("DATA", 0, "connection lost"))
    transport.write(stuffed if stuffed.endswith(b"\r\n") else stuffed + b"\r\n")
    await asyncio.sleep(0)
    if transport.is_closing():
        client.close()
        raise DeliveryFailed(Reply("DATA", 0, "connection lost"))


async def _final_dot(client: Client, seconds: int) -> Reply:
    try:
        answer = asyncio.ensure_future(client.execute_command(b".", timeout=seconds))
        await asyncio.sleep(0)
        reach(CrashPoint.AFTER_DOT)
        code, text = await answer
    except (aiosmtplib.SMTPException, *_LOST) as error:
        client.close()
        raise OutcomeUnknown(type(error).__name__) from None
    reply = Reply("DATA", code, text)
    if code != 250:  # noqa: PLR2004
        raise DeliveryFailed(reply)
    return reply
