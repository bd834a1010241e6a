"""Calls the SQL functions of the send lifecycle: claim, gate, finish. The worker uses no table directly."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import psycopg
from psycopg import errors
from psycopg.rows import DictRow, dict_row, tuple_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from sequence_store.domain.messages import SendKey, SendMessage
from sequence_store.domain.states import Counted, Fault, Outcome, Parks, SendStatus
from sequence_store.postgres.connection import KEEPALIVES, SESSION, plain_url
from sequence_store.postgres.queries import query
from sequence_store.settings import WorkerSettings
from step_mailing_worker.batching import Batches

MOST_CALLS = 20  # in one transaction, which holds its locks until the last call is done
SHARED_CONNECTIONS = 3  # for batches: one each for claims, gates and sent mails
OWN_CONNECTIONS = 5  # for calls that run alone
LOCK_WAIT_MILLISECONDS = 250
STATEMENT_SECONDS = 60
CONNECTION_WAIT_SECONDS = 10.0
IDLE_SECONDS = 1.0

DATABASE_AWAY = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout)
_ROLLED_BACK = (errors.LockNotAvailable, errors.DeadlockDetected, errors.SerializationFailure)


class ClaimVerdict(StrEnum):
    CLAIMED = "claimed"
    EARLY = "early"
    HELD = "held"
    STALE = "stale"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    ABSENT = "absent"


class GateVerdict(StrEnum):
    TRANSMITTING = "transmitting"
    WAIT = "wait"
    PLANNED = "planned"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    FENCED = "fenced"


@dataclass(frozen=True)
class ClaimedSend:
    """The data of a mail, as the claim read them; null `smtp_` columns mean the deployment's own server."""

    mailbox_id: int
    send_day: date
    send_at: datetime
    contact_name: str
    contact_address: str
    contact_attributes: Mapping[str, object]
    open_tracking_enabled: bool
    click_tracking_enabled: bool
    mail_subject: str | None
    mail_content: str
    mail_format: str
    thread_subject: str | None
    thread_step_ids: list[int] | None
    mailbox_address: str
    mailbox_display_name: str | None
    tracking_host: str | None
    smtp_host: str | None
    smtp_port: int | None
    smtp_security: str | None
    smtp_username: str | None
    smtp_secret: str | None
    thread_rounds: list[int] | None = None  # of each step in thread_step_ids, if the enrolment was resumed


@dataclass(frozen=True)
class Claim:
    """Result of a claim; `send` is set with `claimed` alone, `retry_seconds` with `early` and `held`."""

    verdict: ClaimVerdict
    reason: str | None = None
    retry_seconds: float = 0.0
    send: ClaimedSend | None = None


@dataclass(frozen=True)
class Gate:
    """Result of the gate before DATA; `retry_seconds` is set with `wait`."""

    verdict: GateVerdict
    reason: str | None = None
    retry_seconds: float = 0.0


@dataclass(frozen=True)
class Limit:
    """The database's count of a day that the Valkey counter reports as used up; `remaining` is in mails."""

    reached: bool
    remaining: int


@dataclass(frozen=True)
class Finish:
    """The outcome of an attempt for `finish_attempt`; `park_seconds` applies if it parks the mailbox.

    `cause` is the reason of the server's reply if `reason` says what follows from it (`refused_today`).
    """

    outcome: Outcome
    fault: Fault | None
    reason: str
    park_seconds: float
    cause: str | None = None
    suppresses: bool = False
    parks: Parks = Parks.NO
    counted: Counted | None = None
    smtp_code: int | None = None
    enhanced_code: str | None = None
    smtp_reply: str | None = None
    provider_message_id: str | None = None
    retry_seconds: float = 0.0


@dataclass(frozen=True)
class Finished:
    """The state of the row after `finish_attempt`."""

    status: SendStatus
    reason: str | None


class _Connection(psycopg.AsyncConnection[DictRow]):
    used_at = 0.0  # monotonic clock, seconds


async def _check_if_idle(connection: _Connection) -> None:
    """Check a connection that was idle for IDLE_SECONDS: a restart of Postgres breaks it without notice."""
    if time.monotonic() - connection.used_at > IDLE_SECONDS:
        await AsyncConnectionPool.check_connection(connection)


class Store:
    """Calls the functions. Create it inside a running event loop.

    Methods raise DATABASE_AWAY if the database does not respond; the call may or may not have been committed.
    Claims, gates and sent mails of several attempts share a transaction. If it waits too long for a lock, or
    if one call fails, the transaction is rolled back and each call is repeated in its own transaction.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self._lease_seconds = settings.claim_lease_seconds
        self._pads = settings.address_pads
        url = plain_url(settings.worker_database_url)
        self._shared = _pool(url, SHARED_CONNECTIONS, f"-c lock_timeout={LOCK_WAIT_MILLISECONDS}")
        self._own = _pool(url, OWN_CONNECTIONS)
        self._claims = self._batches("claim_send")
        self._gates = self._batches("mark_transmitting")
        self._sent = self._batches("finish_attempt")

    async def open(self) -> None:
        """Start connecting. If the database is unavailable, each later call waits for a connection."""
        for pool in (self._shared, self._own):
            await pool.open(wait=False)

    async def close(self) -> None:
        for batches in (self._claims, self._gates, self._sent):
            await batches.close()
        for pool in (self._shared, self._own):
            await pool.close(timeout=1)

    async def responds(self) -> bool:
        """Return whether the database answers a query now."""
        try:
            return await self.schema_revision() is not None
        except (psycopg.Error, PoolTimeout):
            return False

    async def schema_revision(self) -> str | None:
        """Return the database's revision; None if it is from a release without `schema_revision`."""
        try:
            return str(await self._value("schema", "read_revision") or "") or None
        except errors.UndefinedFunction:
            return None

    async def mailboxes_without_server(self) -> int:
        return int(await self._value("worker", "count_without_server"))

    async def _value(self, file: str, name: str) -> Any:
        async with self._own.connection() as connection, connection.cursor(row_factory=tuple_row) as cursor:
            await cursor.execute(query(file, name))
            row = await cursor.fetchone()
            connection.used_at = time.monotonic()
        return row[0] if row else None

    async def claim(self, send: SendMessage, claim: UUID) -> Claim:
        call = _call(send, claim, attempt=send.attempt)
        row = _required(await self._batched(self._claims, "claim_send", call), "claim_send")
        verdict = ClaimVerdict(row["verdict"])
        claimed = _claimed_send(row) if verdict is ClaimVerdict.CLAIMED else None
        return Claim(verdict, row["reason"], row["retry_seconds"] or 0.0, claimed)

    async def renew(self, key: SendKey, claim: UUID) -> bool:
        row = await self._one("renew_claim", key, claim, lease_seconds=self._lease_seconds)
        return bool(row["renew_claim"])

    async def release(self, key: SendKey, claim: UUID) -> bool:
        row = await self._one("release_claim", key, claim)
        return bool(row["release_claim"])

    async def confirm_limit(self, key: SendKey, claim: UUID) -> Limit:
        """Check the day's limit in the database, which cancels the send if the limit is reached."""
        row = await self._one("confirm_limit", key, claim)
        return Limit(row["cancelled"], row["remaining"])

    async def store_canonical_hmac(self, contact_id: int, address: str, canonical: str) -> None:
        """Store under which key the contact is suppressed; do nothing if its address is not `address` now."""
        values = {"contact_id": contact_id, "address": address, "canonical": canonical, "pads": self._pads}
        async with self._own.connection() as connection:
            await connection.execute(query("worker", "store_canonical_hmac"), values)
            connection.used_at = time.monotonic()

    async def mark_transmitting(self, send: SendMessage, claim: UUID) -> Gate:
        call = _call(send, claim)
        row = _required(await self._batched(self._gates, "mark_transmitting", call), "mark_transmitting")
        return Gate(GateVerdict(row["verdict"]), row["reason"], row["retry_seconds"] or 0.0)

    async def finish(self, send: SendMessage, claim: UUID, finish: Finish) -> Finished | None:
        """Record the outcome. Return None if the claim was lost or this outcome is already recorded."""
        call = _call(send, claim, **asdict(finish))
        if finish.outcome is Outcome.SENT:
            row = await self._batched(self._sent, "finish_attempt", call)
        else:  # a bounce takes the reputation lock, which no transaction may hold while it waits for others
            (row,) = await self._call(self._own, "finish_attempt", [call])
        return Finished(SendStatus(row["status"]), row["reason"]) if row else None

    async def keep_secret(self, mailbox_id: int, before: str, after: str) -> bool:
        """Replace a mailbox's secret; return False if it has changed or the database is unavailable.

        The access token that came with the new refresh token stays usable; the next refresh gives another.
        """
        try:
            async with self._own.connection() as connection:
                return await keep_secret(connection, mailbox_id, before, after)
        except DATABASE_AWAY:
            return False

    async def _one(self, name: str, key: SendKey, claim: UUID, **values: Any) -> DictRow:
        async with self._own.connection() as connection:
            cursor = await connection.execute(
                query("worker", name), {**key._asdict(), "claim": claim, **values}
            )
            row = await cursor.fetchone()
            connection.used_at = time.monotonic()
        return _required(row, name)

    def _batches(self, name: str) -> _Batches:
        return Batches(lambda calls: self._call(self._shared, name, calls), most=MOST_CALLS)

    async def _batched(self, batches: _Batches, name: str, call: _Call) -> DictRow | None:
        """Make a call in a batch; if the batch is rolled back, make it alone, without a lock timeout."""
        try:
            return await batches.submit(call)
        except psycopg.Error as error:
            if isinstance(error, DATABASE_AWAY) and not isinstance(error, _ROLLED_BACK):
                raise
        (row,) = await self._call(self._own, name, [call])
        return row

    async def _call(self, pool: _Pool, name: str, calls: list[_Call]) -> list[DictRow | None]:
        """Make the calls in one transaction; return their rows in the order of `calls`.

        Two transactions take their locks in the same order, by mailbox first, so that they cannot deadlock.
        """
        ordered = sorted(
            ({**call, "n": n} for n, call in enumerate(calls)),
            key=lambda call: (call["mailbox_id"], call["sequence_id"], call["contact_id"], call["step_id"]),
        )
        values = {"calls": Jsonb(ordered), "lease_seconds": self._lease_seconds, "pads": self._pads}
        async with pool.connection() as connection:
            cursor = await connection.execute(query("worker", name), values)
            rows = {row["n"]: row for row in await cursor.fetchall()}
            connection.used_at = time.monotonic()
        return [rows.get(n) for n in range(len(calls))]


async def keep_secret(
    connection: psycopg.AsyncConnection[Any], mailbox_id: int, before: str, after: str
) -> bool:
    """Replace a mailbox's secret; return False if the stored one is not `before` any more."""
    values = {"mailbox_id": mailbox_id, "before": before, "after": after}
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(query("worker", "keep_secret"), values)
        row = await cursor.fetchone()
    return bool(row and row[0])


_Pool = AsyncConnectionPool[_Connection]
_Call = dict[str, Any]
_Batches = Batches[_Call, DictRow | None]


def _pool(url: str, connections: int, options: str = "") -> _Pool:
    return AsyncConnectionPool(
        url,
        kwargs={
            "autocommit": True,
            "application_name": "step_mailing_worker",
            "connect_timeout": 5,
            "options": f"{SESSION} -c statement_timeout={STATEMENT_SECONDS}s {options}",
            "row_factory": dict_row,
            **KEEPALIVES,
        },
        connection_class=_Connection,
        min_size=1,
        max_size=connections,
        timeout=CONNECTION_WAIT_SECONDS,
        check=_check_if_idle,
        open=False,
    )


def _call(send: SendMessage, claim: UUID, **values: Any) -> _Call:
    return {**send.key._asdict(), "mailbox_id": send.mailbox_id, "claim": str(claim), **values}


def _required(row: DictRow | None, name: str) -> DictRow:
    if row is None:
        raise psycopg.InterfaceError(f"{name} returned no row")
    return row


def _claimed_send(row: DictRow) -> ClaimedSend:
    columns = {name: row[name] for name in ClaimedSend.__dataclass_fields__ if name != "thread_rounds"}
    if row["resumed_rounds"]:  # a resumed enrolment continues the thread of the rounds before
        columns |= {
            "thread_subject": row["resumed_subject"],
            "thread_step_ids": row["resumed_step_ids"],
            "thread_rounds": row["resumed_rounds"],
        }
    return ClaimedSend(**columns)
