"""The worker's whole view of the database: a few functions, called by name, answered in frozen dataclasses."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from sequence_store.database import KEEPALIVES, plain_url
from sequence_store.messages import SendKey
from sequence_store.queries import query
from sequence_store.settings import WorkerSettings
from sequence_store.states import Fault, Outcome, SendStatus

MOST_CONNECTIONS = 8  # statements of a millisecond: more of them would only wait for each other's locks
CONNECTION_WAIT_SECONDS = 10.0
IDLE_SECONDS = 1.0

DATABASE_AWAY = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout)


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
    """Calls the functions. Every call is a transaction; DATABASE_AWAY means that it may or may not have happened."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._lease_seconds = settings.claim_lease_seconds
        self._pads = settings.address_pads
        self._pool = AsyncConnectionPool(
            plain_url(settings.worker_database_url),
            kwargs={
                "autocommit": True,
                "application_name": "step_mailing_worker",
                "connect_timeout": 5,
                "options": "-c timezone=UTC",
                "row_factory": dict_row,
                **KEEPALIVES,
            },
            connection_class=_Connection,
            min_size=1,
            max_size=min(MOST_CONNECTIONS, settings.worker_concurrency),
            timeout=CONNECTION_WAIT_SECONDS,
            check=_look_after,
            open=False,
        )

    async def open(self) -> None:
        """Start connecting; a database that is away now is waited for by each call."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        await self._pool.close(timeout=1)

    async def claim(self, key: SendKey, *, attempt: int, claim: UUID) -> Claim:
        row = await self._one(
            "claim_send", key, claim, attempt=attempt, lease_seconds=self._lease_seconds, pads=self._pads
        )
        verdict = ClaimVerdict(row["verdict"])
        send = _claimed_send(row) if verdict is ClaimVerdict.CLAIMED else None
        return Claim(verdict, row["reason"], row["retry_seconds"] or 0.0, send)

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

    async def mark_transmitting(self, key: SendKey, claim: UUID) -> Gate:
        row = await self._one("mark_transmitting", key, claim, pads=self._pads)
        return Gate(GateVerdict(row["verdict"]), row["reason"], row["retry_seconds"] or 0.0)

    async def finish(self, key: SendKey, claim: UUID, finish: Finish) -> Finished | None:
        """Record the outcome; None: the claim is not ours any more, or the outcome has landed before."""
        row = await self._first(
            "finish_send",
            key,
            claim,
            outcome=finish.outcome.value,
            fault=finish.fault.value if finish.fault else None,
            reason=finish.reason,
            smtp_code=finish.smtp_code,
            enhanced_code=finish.enhanced_code,
            smtp_reply=finish.smtp_reply,
            provider_message_id=finish.provider_message_id,
            retry_seconds=finish.retry_seconds,
            park_seconds=finish.park_seconds,
            pads=self._pads,
        )
        return Finished(SendStatus(row["status"]), row["reason"]) if row else None

    async def keep_secret(self, mailbox_id: int, before: str, after: str) -> bool:
        """Store a mailbox's new secret, unless somebody has changed it meanwhile."""
        values = {"mailbox_id": mailbox_id, "before": before, "after": after}
        try:
            async with self._pool.connection() as connection:
                cursor = await connection.execute(query("worker", "keep_secret"), values)
                row = await cursor.fetchone()
        except DATABASE_AWAY:
            return False  # the token it gave serves until then; the next refresh gives another
        return bool(row and row["keep_secret"])

    async def _one(self, name: str, key: SendKey, claim: UUID, **values: Any) -> DictRow:
        row = await self._first(name, key, claim, **values)
        if row is None:
            raise psycopg.InterfaceError(f"{name} returned no row")
        return row

    async def _first(self, name: str, key: SendKey, claim: UUID, **values: Any) -> DictRow | None:
        parameters = {**key._asdict(), "claim": claim, **values}
        async with self._pool.connection() as connection:
            cursor = await connection.execute(query("worker", name), parameters)
            row = await cursor.fetchone()
            connection.used_at = time.monotonic()
            return row


def _claimed_send(row: DictRow) -> ClaimedSend:
    return ClaimedSend(**{name: row[name] for name in ClaimedSend.__dataclass_fields__})
