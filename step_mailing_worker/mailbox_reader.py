"""Reads the mailboxes' incoming mail and records a verdict on each: what it is, and what follows from it."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from itertools import groupby
from typing import Any

import psycopg
from prometheus_client import CollectorRegistry
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from sequence_store.domain.addresses import address_or_text
from sequence_store.domain.messages import SendKey
from sequence_store.domain.states import AttemptReason, FeedbackKind, MailKind, MailOutcome
from sequence_store.failpoints import Failpoint, reach
from sequence_store.health import serve
from sequence_store.postgres.connection import SESSION, plain_url
from sequence_store.postgres.queries import query
from sequence_store.settings import LOCAL, WorkerSettings
from step_mailing_worker import logs
from step_mailing_worker.credentials import Credential, Credentials
from step_mailing_worker.endpoints import password_in_clear
from step_mailing_worker.errors import LostError, NoCredentialError
from step_mailing_worker.health import Health
from step_mailing_worker.imap import InboxAccount, NewMail, NewMails, read_new_mails
from step_mailing_worker.inbound_mail.reading import read_mail
from step_mailing_worker.inbound_mail.verdict import MailVerdict, judge_mail
from step_mailing_worker.store import DATABASE_AWAY, keep_secret

MAILBOXES_AT_ONCE = 8
BATCH_LOCK_TIMEOUT = "250ms"  # then each verdict gets a transaction of its own
ONE_LOCK_TIMEOUT = "500ms"  # less than deadlock_timeout: the reader gives way, and tries again
MOST_RETRIES = 20
EVENT_OF = {MailKind.HARD_BOUNCE: FeedbackKind.BOUNCE.value, MailKind.UNSUBSCRIBE: FeedbackKind.OPT_OUT.value}
# No transaction may hold the reputation lock while it waits for others.
TAKES_REPUTATION_LOCK = frozenset({MailKind.HARD_BOUNCE, MailKind.SOFT_BOUNCE, MailKind.COMPLAINT})
LONGEST_HEAD = 100_000  # bytes of a mail in which its Message-ID is looked for

Connection = psycopg.AsyncConnection[tuple[Any, ...]]


class MailboxReader:
    """Reads the mail of all mailboxes. If several readers run, each event is still recorded once."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._secrets = settings.known_message_id_keys
        names = (settings.inbox_folders or "").split(",")
        self._more_folders = [name.strip() for name in names if name.strip()]
        self._bounds = {
            "park_seconds": settings.park_seconds,
            "match_days": settings.reply_match_days,
            "away_days": settings.away_hold_days,
            "company_most": settings.company_most_contacts,
        }
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
            accounts = await (await c.execute(query("worker", "read_inbox_accounts"))).fetchall()
        on_connected()
        counts = await asyncio.gather(*(self._read(account, credentials) for account in accounts))
        async with await self._connected() as connection:
            await connection.execute(query("worker", "forget_inbox_mails"))
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
            more_folders=self._more_folders,
            public=self._settings.sequence_environment != LOCAL,
        )
        moved: set[str] = set()  # folders whose position another reader moved
        try:
            async with await self._connected() as connection:
                while batch := await asyncio.to_thread(next, batches, None):
                    if batch.folder not in moved:
                        kinds, kept = await self._record(connection, account, batch)
                        recorded += kinds
                        moved |= set() if kept else {batch.folder}
                    if self._stopping.is_set():
                        break
        finally:
            await asyncio.to_thread(batches.close)
        return recorded

    async def _record(
        self, connection: Connection, account: InboxAccount, batch: NewMails
    ) -> tuple[Counter[str], bool]:
        """Record the verdicts, then the position: after a crash in between, the mails are judged again.

        Return the number of new events by kind, and whether the position was still where it was read.
        """
        reach(Failpoint.MAILS_FETCHED)
        verdicts = [self._judged(account, mail) for mail in batch.mails]
        kinds = Counter(verdict.kind.value for _, verdict in verdicts)
        calls = [
            _call(batch.folder, mail, verdict) for mail, verdict in verdicts if _concerns_somebody(verdict)
        ]
        outcomes = await self._record_calls(connection, account, calls)
        reach(Failpoint.MAILS_RECORDED)
        cursor = await connection.execute(
            query("worker", "move_inbox_position"),
            {
                "mailbox_id": account.mailbox_id,
                "folder": batch.folder,
                "uid_validity": batch.uid_validity,
                "expected": batch.expected,
                "last_uid": batch.last_uid,
                "newest_at": max((mail.received_at for mail in batch.mails), default=None),
                "waiting": batch.waiting,
                "kinds": Jsonb(dict(kinds)),
            },
        )
        row = await cursor.fetchone()
        reach(Failpoint.MAILS_PASSED)
        fresh = Counter(
            EVENT_OF.get(call["kind"], call["kind"])
            for call, outcome in zip(calls, outcomes, strict=True)
            if outcome not in {MailOutcome.NONE, MailOutcome.KNOWN, MailOutcome.ABSENT}
        )
        return fresh, bool(row and row[0])

    def _judged(self, account: InboxAccount, mail: NewMail) -> tuple[NewMail, MailVerdict]:
        return mail, judge_mail(mail.content, own_address=account.address, secrets=self._secrets)

    async def _record_calls(
        self, connection: Connection, account: InboxAccount, calls: list[dict[str, Any]]
    ) -> list[str]:
        """Record the verdicts in one transaction; if its locks meet another's, each in its own."""
        outcomes: list[str] = []
        for alone, group in groupby(calls, lambda call: call["kind"] in TAKES_REPUTATION_LOCK):
            some = list(group)
            try:
                if not alone:
                    outcomes += await self._record_at_once(connection, account, some, BATCH_LOCK_TIMEOUT)
                    continue
            except (psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable):
                pass
            outcomes += [await self._record_one(connection, account, call) for call in some]
        return outcomes

    async def _record_one(self, connection: Connection, account: InboxAccount, call: dict[str, Any]) -> str:
        """Record one verdict. A deadlock is retried: the mail must not be lost; the other side goes on."""
        for _ in range(MOST_RETRIES):
            with suppress(psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable):
                return (await self._record_at_once(connection, account, [call], ONE_LOCK_TIMEOUT))[0]
            await asyncio.sleep(random.uniform(0.01, 0.1))  # noqa: S311
        return (await self._record_at_once(connection, account, [call], ONE_LOCK_TIMEOUT))[0]

    async def _record_at_once(
        self, connection: Connection, account: InboxAccount, calls: list[dict[str, Any]], lock_timeout: str
    ) -> list[str]:
        async with connection.transaction():
            await connection.execute("SELECT set_config('lock_timeout', %s, true)", (lock_timeout,))
            cursor = await connection.execute(
                query("worker", "record_mails"),
                {
                    "mailbox_id": account.mailbox_id,
                    "mails": Jsonb(calls),
                    "bounds": Jsonb(self._bounds),
                    "pads": self._settings.address_pads,
                },
            )
            outcomes = [str(outcome) for _, outcome in sorted(await cursor.fetchall())]
        for call, outcome in zip(calls, outcomes, strict=True):
            if outcome not in {MailOutcome.NONE, MailOutcome.KNOWN}:
                key = dict(zip(SendKey._fields, call["send"], strict=False))
                logs.event(call["kind"], mailbox=account.mailbox_id, verdict=outcome, **key)
        return outcomes

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


def _concerns_somebody(verdict: MailVerdict) -> bool:
    """Return whether the database must decide about a mail; the others are only counted."""
    if verdict.kind is MailKind.UNREADABLE:
        return True
    if verdict.kind is MailKind.OWN:
        return False
    if verdict.kind is MailKind.NONE:
        return verdict.send is not None and verdict.delivered
    return verdict.send is not None or verdict.fresh


def _call(folder: str, mail: NewMail, verdict: MailVerdict) -> dict[str, Any]:
    return {
        "identity": identity_of(mail.content),
        "kind": verdict.kind.value,
        "send": list(verdict.send or ()),
        "folder": folder,
        "uid": mail.uid,
        "received_at": mail.received_at.isoformat(),
        "sender": address_or_text(verdict.sender),
        "fresh": verdict.fresh,
        "away": verdict.away,
        "left": verdict.left,
        "until": verdict.until and verdict.until.isoformat(),
        "why": verdict.why,
        "detail": verdict.detail,
    }


def identity_of(content: bytes) -> str:
    """Return the identity of a mail in hex: the hash of its Message-ID, else of its content."""
    name = read_mail(content[:LONGEST_HEAD]).raw("message-id").strip()
    return hashlib.sha256(name.encode("utf-8", "replace") if name else content).hexdigest()
