"""Connections kept per mailbox: few at once, closed when idle, and a stale one is replaced without a word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from sequence_store.failpoints import Failpoint, reach
from step_mailing_worker.credentials import Credential, Credentials
from step_mailing_worker.errors import LostError, NoCredentialError, RefusedError, SmtpError
from step_mailing_worker.mail import Mail
from step_mailing_worker.smtp import Bounds, Endpoint, SmtpConnection
from step_mailing_worker.smtp_replies import Phase

CONNECTIONS_PER_MAILBOX = 3  # Exchange Online's bound; others allow more
IDLE_SECONDS = 20.0  # servers wait for minutes, but a connection that does nothing is theirs too
MAILS_PER_CONNECTION = 100

_SERVICE_CLOSES = 421


@dataclass
class _Kept:
    connection: SmtpConnection
    expiry: asyncio.TimerHandle


@dataclass
class _Mailbox:
    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONNECTIONS_PER_MAILBOX))
    idle: list[_Kept] = field(default_factory=list)
    users: int = 0


class MailboxConnections:
    """Lends connections on which a mail is begun, and keeps them afterwards."""

    def __init__(self, bounds: Bounds, credentials: Credentials) -> None:
        self._bounds = bounds
        self._credentials = credentials
        self._mailboxes: dict[Endpoint, _Mailbox] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def begun(self, endpoint: Endpoint, mail: Mail) -> AsyncIterator[SmtpConnection]:
        """Lend a connection whose server has accepted MAIL; raise SmtpError where none does."""
        mailbox = self._mailboxes.setdefault(endpoint, _Mailbox())
        mailbox.users += 1
        try:
            async with mailbox.places:
                connection = await self._begin(mailbox, endpoint, mail)
                try:
                    yield connection
                finally:
                    await self._give_back(mailbox, connection)
        finally:
            mailbox.users -= 1
            self._forget_unused(endpoint)

    async def close(self) -> None:
        """Say goodbye on every idle connection."""
        for mailbox in self._mailboxes.values():
            for kept in mailbox.idle:
                kept.expiry.cancel()
                self._leave(kept.connection)
        self._mailboxes.clear()
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=2)

    async def _begin(self, mailbox: _Mailbox, endpoint: Endpoint, mail: Mail) -> SmtpConnection:
        """Begin on a kept connection if there is one; one that has gone stale costs nothing but a new one."""
        if kept := _take(mailbox):
            try:
                return await self._greeted(kept, mail)
            except LostError:
                pass
            except RefusedError as refused:
                if refused.reply.code != _SERVICE_CLOSES:
                    await self._give_back(mailbox, kept)
                    raise
        fresh = await self.opened(endpoint)
        try:
            return await self._greeted(fresh, mail)
        except RefusedError:
            await self._give_back(mailbox, fresh)
            raise
        except BaseException:
            fresh.close()
            raise

    async def opened(self, endpoint: Endpoint) -> SmtpConnection:
        """Sign in; where a kept token or password is refused, once more with a new one."""
        if endpoint.username is None:
            return await self._connected(endpoint, None)
        if not endpoint.secret:
            raise NoCredentialError("secret_missing")
        credential = await self._credentials.of(endpoint.mailbox_id, endpoint.secret)
        try:
            return await self._connected(endpoint, credential)
        except RefusedError as refused:
            may_differ = self._credentials.forget(endpoint.mailbox_id, endpoint.secret, credential)
            if refused.reply.phase is not Phase.AUTH or not may_differ:
                raise
        credential = await self._credentials.of(endpoint.mailbox_id, endpoint.secret)
        return await self._connected(endpoint, credential)

    async def _connected(self, endpoint: Endpoint, credential: Credential | None) -> SmtpConnection:
        connection = SmtpConnection(endpoint, self._bounds)
        try:
            await connection.open(credential)
        except BaseException:
            connection.close()
            raise
        return connection

    @staticmethod
    async def _greeted(connection: SmtpConnection, mail: Mail) -> SmtpConnection:
        reach(Failpoint.AFTER_EHLO)
        await connection.mail(mail)
        return connection

    async def _give_back(self, mailbox: _Mailbox, connection: SmtpConnection) -> None:
        if connection.dirty and not connection.broken:
            try:
                await connection.reset()
            except (SmtpError, asyncio.CancelledError):
                connection.close()
        if connection.broken:
            return
        if connection.mails >= MAILS_PER_CONNECTION:
            self._leave(connection)
            return
        expiry = asyncio.get_running_loop().call_later(
            IDLE_SECONDS, self._expire, connection.endpoint, connection
        )
        mailbox.idle.append(_Kept(connection, expiry))

    def _expire(self, endpoint: Endpoint, connection: SmtpConnection) -> None:
        if mailbox := self._mailboxes.get(endpoint):
            mailbox.idle = [kept for kept in mailbox.idle if kept.connection is not connection]
            self._forget_unused(endpoint)
        self._leave(connection)

    def _leave(self, connection: SmtpConnection) -> None:
        task = asyncio.create_task(connection.quit())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _forget_unused(self, endpoint: Endpoint) -> None:
        mailbox = self._mailboxes.get(endpoint)
        if mailbox and not mailbox.users and not mailbox.idle:
            del self._mailboxes[endpoint]


def _take(mailbox: _Mailbox) -> SmtpConnection | None:
    """Take the connection that was used last: the others may grow idle."""
    while mailbox.idle:
        kept = mailbox.idle.pop()
        kept.expiry.cancel()
        if not kept.connection.broken:
            return kept.connection
    return None
