"""Reads the mailboxes' incoming mail and records replies, bounces and complaints to known sends."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import psycopg
from prometheus_client import CollectorRegistry
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from sequence_store.domain.states import AttemptReason
from sequence_store.postgres.connection import SESSION, plain_url
from sequence_store.postgres.queries import query
from sequence_store.settings import LOCAL, WorkerSettings
from step_mailing_worker import logs
from step_mailing_worker.credentials import Credential, Credentials
from step_mailing_worker.endpoints import password_in_clear
from step_mailing_worker.errors import LostError, NoCredentialError
from step_mailing_worker.health import Health, serve
from step_mailing_worker.imap import InboxAccount, NewMails, read_new_mails
from step_mailing_worker.inbound_mail import Feedback, feedback_of
from step_mailing_worker.store import DATABASE_AWAY, keep_secret

MAILBOXES_AT_ONCE = 8

Connection = psycopg.AsyncConnection[tuple[object, ...]]


class MailboxReader:
    """Reads the mail of all mailboxes. If several readers run, each event is still recorded once."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._secret = settings.address_key.get_secret_value().encode()
        self._stopping = asyncio.Event()
        self._slots = asyncio.Semaphore(MAILBOXES_AT_ONCE)

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        """Read all mailboxes every `inbox_poll_seconds` until `stop`.

        If the database is unavailable, the reader tries again in the next round.
        """
        credentials = Credentials(self._settings, self._keep_secret)
        health = Health("database")
        server = serve(self._settings, CollectorRegistry(), health)
        try:
            while not self._stopping.is_set():
                try:
                    await self._read_all(credentials, on_connected=lambda: health.note("database", up=True))
                except DATABASE_AWAY as error:
                    health.note("database", up=False)
                    logs.warn("database_not_reached", error=type(error).__name__)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), self._settings.inbox_poll_seconds)
        finally:
            await credentials.close()
            if server:
                await asyncio.to_thread(server.shutdown)
                server.server_close()

    async def run_once(self) -> Counter[str]:
        """Read all mailboxes once; return the number of new events by kind. Raise DATABASE_AWAY."""
        credentials = Credentials(self._settings, self._keep_secret)
        try:
            return await self._read_all(credentials)
        finally:
            await credentials.close()

    async def _read_all(
        self, credentials: Credentials, on_connected: Callable[[], None] = lambda: None
    ) -> Counter[str]:
        async with (
            await self._connected() as connection,
            connection.cursor(row_factory=class_row(InboxAccount)) as c,
        ):
            accounts = await (await c.execute(query("worker", "read_inboxes"))).fetchall()
        on_connected()
        counts = await asyncio.gather(*(self._read(account, credentials) for account in accounts))
        return sum(counts, Counter())

    async def _read(self, account: InboxAccount, credentials: Credentials) -> Counter[str]:
        """Read one mailbox; log its errors, so that the other mailboxes are still read."""
        async with self._slots:
            try:
                return await self._read_signed_in(account, credentials)
            except (LostError, NoCredentialError) as error:
                logs.warn("inbox_not_read", mailbox=account.mailbox_id, reason=error.reason)
            except DATABASE_AWAY:
                raise
            except Exception as error:  # noqa: BLE001  # a server may reply anything
                logs.fail("inbox_not_read", mailbox=account.mailbox_id, error=type(error).__name__)
            return Counter()

    async def _read_signed_in(self, account: InboxAccount, credentials: Credentials) -> Counter[str]:
        if password_in_clear(account.security, self._settings):
            raise NoCredentialError(AttemptReason.PASSWORD_WITHOUT_TLS)
        credential = await credentials.of(account.mailbox_id, account.smtp_secret)
        try:
            return await self._record_new_mails(account, credential)
        except NoCredentialError:
            if not credentials.forget(account.mailbox_id, account.smtp_secret, credential):
                raise
        return await self._record_new_mails(
            account, await credentials.of(account.mailbox_id, account.smtp_secret)
        )

    async def _record_new_mails(self, account: InboxAccount, credential: Credential) -> Counter[str]:
        recorded: Counter[str] = Counter()
        batches = read_new_mails(
            account,
            credential,
            lookback_days=self._settings.inbox_lookback_days,
            public=self._settings.sequence_environment != LOCAL,
        )
        try:
            async with await self._connected() as connection:
                while batch := await asyncio.to_thread(next, batches, None):
                    recorded += await self._record(connection, account, batch)
                    if self._stopping.is_set():
                        break
        finally:
            await asyncio.to_thread(batches.close)
        return recorded

    async def _record(self, connection: Connection, account: InboxAccount, batch: NewMails) -> Counter[str]:
        """Record the events, then the position: after a crash in between, the mails are read again."""
        recorded: Counter[str] = Counter()
        for content in batch.mails:
            feedback = feedback_of(content, own_address=account.address, secret=self._secret)
            if feedback and await self._is_new(connection, feedback):
                recorded[feedback.kind] += 1
        await connection.execute(
            query("worker", "keep_inbox_position"),
            {
                "mailbox_id": account.mailbox_id,
                "uid_validity": batch.uid_validity,
                "last_uid": batch.last_uid,
            },
        )
        return recorded

    async def _is_new(self, connection: Connection, feedback: Feedback) -> bool:
        cursor = await connection.execute(
            query("worker", "record_feedback"),
            {
                **feedback.key._asdict(),
                "kind": feedback.kind.value,
                "detail": Jsonb(feedback.detail),
                "park_seconds": self._settings.park_seconds,
                "pads": self._settings.address_pads,
            },
        )
        row = await cursor.fetchone()
        verdict = row[0] if row else None
        logs.event(feedback.kind, **feedback.key._asdict(), verdict=verdict)
        return verdict == "recorded"

    async def _keep_secret(self, mailbox_id: int, before: str, after: str) -> bool:
        async with await self._connected() as connection:
            return await keep_secret(connection, mailbox_id, before, after)

    async def _connected(self) -> Connection:
        return await psycopg.AsyncConnection.connect(
            plain_url(self._settings.worker_database_url),
            autocommit=True,
            application_name="step_mailing_worker inbox",
            connect_timeout=5,
            options=SESSION,
        )
