"""Keeps SMTP connections per mailbox: limits their number, closes idle ones, replaces stale ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from sequence_store.failpoints import Failpoint, reach
from step_mailing_worker.credentials import Credential, Credentials
from step_mailing_worker.errors import LostError, RefusedError, SmtpError
from step_mailing_worker.mail import Mail
from step_mailing_worker.smtp import Bounds, Endpoint, SmtpConnection
from step_mailing_worker.smtp_replies import SERVICE_CLOSES, Phase

CONNECTIONS_PER_MAILBOX = 3  # the limit of Exchange Online; other providers allow more
IDLE_SECONDS = 20.0  # servers allow minutes, but an idle connection uses their resources
MAILS_PER_CONNECTION = 100


@dataclass
class _Kept:
    connection: SmtpConnection
    expiry: asyncio.TimerHandle


@dataclass
class _Mailbox:
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONNECTIONS_PER_MAILBOX))
    idle: list[_Kept] = field(default_factory=list)
    users: int = 0


class MailboxConnections:
    """Lends connections on which a mail is begun, and keeps them for reuse."""

    def __init__(self, bounds: Bounds, credentials: Credentials) -> None:
        self._bounds = bounds
        self._credentials = credentials
        self._mailboxes: dict[Endpoint, _Mailbox] = {}
        self._quitting: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def begun(self, endpoint: Endpoint, mail: Mail) -> AsyncIterator[SmtpConnection]:
        """Lend a connection whose server has accepted MAIL FROM; raise SmtpError or NoCredentialError."""
        mailbox = self._mailboxes.setdefault(endpoint, _Mailbox())
        mailbox.users += 1
        try:
            async with mailbox.slots:
                connection = await self._begin(mailbox, endpoint, mail)
                try:
                    yield connection
                finally:
                    await self._put_back(mailbox, connection)
        finally:
            mailbox.users -= 1
            self._forget_unused(endpoint)

    async def close(self) -> None:
        """Send QUIT on every idle connection and close it."""
        for mailbox in self._mailboxes.values():
            for kept in mailbox.idle:
                kept.expiry.cancel()
                self._quit(kept.connection)
        self._mailboxes.clear()
        if self._quitting:
            await asyncio.wait(self._quitting, timeout=2)

    async def _begin(self, mailbox: _Mailbox, endpoint: Endpoint, mail: Mail) -> SmtpConnection:
        """Begin the mail on a kept connection if there is one; replace it by a new one if it is stale."""
        if kept := _take(mailbox):
            try:
                return await self._mail_begun(kept, mail)
            except LostError:
                pass
            except RefusedError as refused:
                if refused.reply.code != SERVICE_CLOSES:
                    await self._put_back(mailbox, kept)
                    raise
        fresh = await self.opened(endpoint)
        try:
            return await self._mail_begun(fresh, mail)
        except RefusedError:
            await self._put_back(mailbox, fresh)
            raise
        except BaseException:
            fresh.close()
            raise

    async def opened(self, endpoint: Endpoint) -> SmtpConnection:
        """Connect and sign in. If a cached token or password is refused, retry once with a fresh one."""
        if endpoint.username is None:
            return await self._connected(endpoint, None)
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
    async def _mail_begun(connection: SmtpConnection, mail: Mail) -> SmtpConnection:
        reach(Failpoint.AFTER_EHLO)
        await connection.mail(mail)
        return connection

    async def _put_back(self, mailbox: _Mailbox, connection: SmtpConnection) -> None:
        if connection.dirty and not connection.broken:
            try:
                await connection.reset()
            except (SmtpError, asyncio.CancelledError):
                connection.close()
        if connection.broken:
            return
        if connection.mails >= MAILS_PER_CONNECTION:
            self._quit(connection)
            return
        expiry = asyncio.get_running_loop().call_later(
            IDLE_SECONDS, self._expire, connection.endpoint, connection
        )
        mailbox.idle.append(_Kept(connection, expiry))

    def _expire(self, endpoint: Endpoint, connection: SmtpConnection) -> None:
        if mailbox := self._mailboxes.get(endpoint):
            mailbox.idle = [kept for kept in mailbox.idle if kept.connection is not connection]
            self._forget_unused(endpoint)
        self._quit(connection)

    def _quit(self, connection: SmtpConnection) -> None:
        task = asyncio.create_task(connection.quit())
        self._quitting.add(task)
        task.add_done_callback(self._quitting.discard)

    def _forget_unused(self, endpoint: Endpoint) -> None:
        mailbox = self._mailboxes.get(endpoint)
        if mailbox and not mailbox.users and not mailbox.idle:
            del self._mailboxes[endpoint]


def _take(mailbox: _Mailbox) -> SmtpConnection | None:
    """Take the connection that was used last, so that the others can expire."""
    while mailbox.idle:
        kept = mailbox.idle.pop()
        kept.expiry.cancel()
        if not kept.connection.broken:
            return kept.connection
    return None
