"""The worker's whole view of the database: a few functions, called by name, answered in frozen dataclasses."""

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
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from sequence_store.domain.messages import SendKey, SendMessage
from sequence_store.domain.states import Fault, Outcome, SendStatus
from sequence_store.postgres.connection import KEEPALIVES, SESSION, plain_url
from sequence_store.postgres.queries import query
from sequence_store.settings import WorkerSettings
from step_mailing_worker.batching import Batches

MOST_TOGETHER = 20  # sends in one transaction: it holds its locks for as long as all of them take
SHARED_CONNECTIONS = 3  # one for claims, one for gates, one for mails that are sent
OWN_CONNECTIONS = 5
LOCK_WAIT_MILLISECONDS = 250
STATEMENT_SECONDS = 60
CONNECTION_WAIT_SECONDS = 10.0
IDLE_SECONDS = 1.0

DATABASE_AWAY = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout)
_UNDONE = (errors.LockNotAvailable, errors.DeadlockDetected, errors.SerializationFailure)


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
    """All that a mail needs, as the claim read it."""

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


@dataclass(frozen=True)
class Claim:
    """What a claim came to; `send` with `claimed` alone, `retry_seconds` with `early` and `held`."""

    verdict: ClaimVerdict
    reason: str | None = None
    retry_seconds: float = 0.0
    send: ClaimedSend | None = None


@dataclass(frozen=True)
class Gate:
    """What the gate before DATA says; `retry_seconds` with `wait`."""

    verdict: GateVerdict
    reason: str | None = None
    retry_seconds: float = 0.0


@dataclass(frozen=True)
class Limit:
    """What the database says of a day that a counter holds to be used up; `remaining` mails, by its count."""

    reached: bool
    remaining: int


@dataclass(frozen=True)
class Finish:
    """An attempt's outcome, as the database is to record it."""

    outcome: Outcome
    fault: Fault | None
    reason: str
    smtp_code: int | None = None
    enhanced_code: str | None = None
    smtp_reply: str | None = None
    provider_message_id: str | None = None
    retry_seconds: float = 0.0
    park_seconds: float = 0.0


@dataclass(frozen=True)
class Finished:
    """The state that the row is in now."""

    status: SendStatus
    reason: str | None


class _Connection(psycopg.AsyncConnection[DictRow]):
    used_at = 0.0  # on the monotonic clock


async def _look_after(connection: _Connection) -> None:
    """Ask a connection whether it lives, unless it did a moment ago: a restart breaks those that stood idle."""
    if time.monotonic() - connection.used_at > IDLE_SECONDS:
        await AsyncConnectionPool.check_connection(connection)


class Store:
    """Calls the functions; made inside a running event loop. DATABASE_AWAY: the call may or may not have happened.

    Claims, gates and sent mails of many attempts share a transaction. Where a lock is long in coming, or one call
    fails, all of that transaction is undone and each call is made again in its own.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self._lease_seconds = settings.claim_lease_seconds
        self._pads = settings.address_pads
        url = plain_url(settings.worker_database_url)
        self._shared = _pool(url, SHARED_CONNECTIONS, f"-c lock_timeout={LOCK_WAIT_MILLISECONDS}")
        self._own = _pool(url, OWN_CONNECTIONS)
        self._claims = self._together("claim_send")
        self._gates = self._together("mark_transmitting")
        self._sent = self._together("finish_send")

    async def open(self) -> None:
        """Start connecting; a database that is away now is waited for by each call."""
        for pool in (self._shared, self._own):
            await pool.open(wait=False)

    async def close(self) -> None:
        for batches in (self._claims, self._gates, self._sent):
            await batches.close()
        for pool in (self._shared, self._own):
            await pool.close(timeout=1)

    async def claim(self, send: SendMessage, claim: UUID) -> Claim:
        call = _call(send, claim, attempt=send.attempt)
        row = _answered(await self._made(self._claims, "claim_send", call), "claim_send")
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
        """Ask whether the day's limit is reached; if it is, the send is cancelled by now."""
        row = await self._one("confirm_limit", key, claim)
        return Limit(row["cancelled"], row["remaining"])

    async def mark_transmitting(self, send: SendMessage, claim: UUID) -> Gate:
        call = _call(send, claim)
        row = _answered(await self._made(self._gates, "mark_transmitting", call), "mark_transmitting")
        return Gate(GateVerdict(row["verdict"]), row["reason"], row["retry_seconds"] or 0.0)

    async def finish(self, send: SendMessage, claim: UUID, finish: Finish) -> Finished | None:
        """Record the outcome; None: the claim is not ours any more, or the outcome has landed before."""
        call = _call(send, claim, **asdict(finish))
        if finish.outcome is Outcome.SENT:
            row = await self._made(self._sent, "finish_send", call)
        else:  # a bounce is judged behind a lock of its own, which nobody is to hold while he waits for others
            (row,) = await self._ask(self._own, "finish_send", [call])
        return Finished(SendStatus(row["status"]), row["reason"]) if row else None

    async def keep_secret(self, mailbox_id: int, before: str, after: str) -> bool:
        """Store a mailbox's new secret, unless somebody has changed it meanwhile."""
        values = {"mailbox_id": mailbox_id, "before": before, "after": after}
        try:
            async with self._own.connection() as connection:
                cursor = await connection.execute(query("worker", "keep_secret"), values)
                row = await cursor.fetchone()
        except DATABASE_AWAY:
            return False  # the token it gave serves until then; the next refresh gives another
        return bool(row and row["keep_secret"])

    async def _one(self, name: str, key: SendKey, claim: UUID, **values: Any) -> DictRow:
        async with self._own.connection() as connection:
            cursor = await connection.execute(
                query("worker", name), {**key._asdict(), "claim": claim, **values}
            )
            row = await cursor.fetchone()
            connection.used_at = time.monotonic()
        return _answered(row, name)

    def _together(self, name: str) -> _Together:
        return Batches(lambda calls: self._ask(self._shared, name, calls), most=MOST_TOGETHER)

    async def _made(self, together: _Together, name: str, call: _Call) -> DictRow | None:
        """Make a call with others; where that is undone, whoever is to blame, make it alone and wait as it takes."""
        try:
            return await together.submit(call)
        except psycopg.Error as error:
            if isinstance(error, DATABASE_AWAY) and not isinstance(error, _UNDONE):
                raise
        (row,) = await self._ask(self._own, name, [call])
        return row

    async def _ask(self, pool: _Pool, name: str, calls: list[_Call]) -> list[DictRow | None]:
        """Make the calls in one transaction, by mailbox, so that no two of them wait for each other; in turn, the rows."""
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


_Pool = AsyncConnectionPool[_Connection]
_Call = dict[str, Any]
_Together = Batches[_Call, DictRow | None]


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
        check=_look_after,
        open=False,
    )


def _call(send: SendMessage, claim: UUID, **values: Any) -> _Call:
    return {**send.key._asdict(), "mailbox_id": send.mailbox_id, "claim": str(claim), **values}


def _answered(row: DictRow | None, name: str) -> DictRow:
    if row is None:
        raise psycopg.InterfaceError(f"{name} returned no row")
    return row


def _claimed_send(row: DictRow) -> ClaimedSend:
    return ClaimedSend(**{name: row[name] for name in ClaimedSend.__dataclass_fields__})
