"""Reads the mailboxes' mail, look by look, and records replies, bounces and complaints of the sends they answer."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from sequence_store.postgres.connection import SESSION, plain_url
from sequence_store.postgres.queries import query
from sequence_store.settings import LOCAL, WorkerSettings
from step_mailing_worker import logs
from step_mailing_worker.credentials import Credential, Credentials
from step_mailing_worker.errors import LostError, NoCredentialError
from step_mailing_worker.imap import InboxAccount, NewMails, read_new_mails
from step_mailing_worker.inbound_mail import Feedback, feedback_of
from step_mailing_worker.store import DATABASE_AWAY

MAILBOXES_AT_ONCE = 8

Connection = psycopg.AsyncConnection[tuple[object, ...]]


class MailboxReader:
    """One process's reading; several side by side do the same work twice and record it once."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._secret = settings.address_key.get_secret_value().encode()
        self._stopping = asyncio.Event()
        self._places = asyncio.Semaphore(MAILBOXES_AT_ONCE)

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        """Look again and again until `stop`; a database that is away is tried at the next look."""
        credentials = Credentials(self._settings, self._keep_secret)
        try:
            while not self._stopping.is_set():
                with suppress(*DATABASE_AWAY):
                    await self.look(credentials)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), self._settings.inbox_poll_seconds)
        finally:
            await credentials.close()

    async def run_once(self) -> Counter[str]:
        """Look once; return what was recorded, by kind. Raise DATABASE_AWAY."""
        credentials = Credentials(self._settings, self._keep_secret)
        try:
            return await self.look(credentials)
        finally:
            await credentials.close()

    async def look(self, credentials: Credentials) -> Counter[str]:
        async with (
            await self._connected() as connection,
            connection.cursor(row_factory=class_row(InboxAccount)) as c,
        ):
            accounts = await (await c.execute(query("worker", "read_inboxes"))).fetchall()
        counts = await asyncio.gather(*(self._read(account, credentials) for account in accounts))
        return sum(counts, Counter())

    async def _read(self, account: InboxAccount, credentials: Credentials) -> Counter[str]:
        """Read one mailbox; what is wrong with it is logged, and costs no other."""
        async with self._places:
            try:
                return await self._read_signed_in(account, credentials)
            except (LostError, NoCredentialError) as error:
                logs.warn("inbox_not_read", mailbox=account.mailbox_id, reason=error.reason)
            except DATABASE_AWAY:
                raise
            except Exception as error:  # noqa: BLE001  # a server may answer anything
                logs.fail("inbox_not_read", mailbox=account.mailbox_id, error=type(error).__name__)
            return Counter()

    async def _read_signed_in(self, account: InboxAccount, credentials: Credentials) -> Counter[str]:
        if account.security == "none" and self._settings.sequence_environment != LOCAL:
            raise NoCredentialError("password_without_tls")
        if not account.smtp_secret:
            raise NoCredentialError("secret_missing")
        credential = await credentials.of(account.mailbox_id, account.smtp_secret)
        try:
            return await self._take(account, credential)
        except NoCredentialError:
            if not credentials.forget(account.mailbox_id, account.smtp_secret, credential):
                raise
        return await self._take(account, await credentials.of(account.mailbox_id, account.smtp_secret))

    async def _take(self, account: InboxAccount, credential: Credential) -> Counter[str]:
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
        """Record what the mails mean, then how far they were read: in this order nothing is lost."""
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
        values = {"mailbox_id": mailbox_id, "before": before, "after": after}
        async with await self._connected() as connection:
            cursor = await connection.execute(query("worker", "keep_secret"), values)
            row = await cursor.fetchone()
        return bool(row and row[0])

    async def _connected(self) -> Connection:
        return await psycopg.AsyncConnection.connect(
            plain_url(self._settings.worker_database_url),
            autocommit=True,
            application_name="step_mailing_worker inbox",
            connect_timeout=5,
            options=SESSION,
        )
