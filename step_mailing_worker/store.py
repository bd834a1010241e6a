"""The worker's whole view of the database: functions that claim, mark and finish a send."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from sequence_store.database import plain_url
from sequence_store.messages import SendKey
from sequence_store.queries import query
from sequence_store.settings import WorkerSettings
from step_mailing_worker.replies import Reply


@dataclass(frozen=True)
class Claimed:
    """claim_send's answer; the mail's fields are there where `verdict` is `claimed`."""

    verdict: str
    reason: str | None
    retry_at: datetime | None
    mailbox_id: int
    send_day: date
    send_at: datetime
    not_after: datetime
    contact_name: str
    contact_address: str
    contact_attributes: dict[str, Any]
    contact_external_id: UUID
    sequence_external_id: UUID
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
class Gate:
    """mark_transmitting's answer."""

    verdict: str
    reason: str | None
    retry_at: datetime | None


@dataclass(frozen=True)
class Finished:
    """The state that the row is in after finish_send."""

    status: str
    reason: str | None
    send_at: datetime
    attempt: int


def open_pool(settings: WorkerSettings) -> AsyncConnectionPool[Any]:
    """Make a pool that checks a connection before it hands it out: Postgres may have been restarted."""
    return AsyncConnectionPool(
        plain_url(settings.worker_database_url),
        min_size=1,
        max_size=min(settings.worker_concurrency, 8),
        check=AsyncConnectionPool.check_connection,
        kwargs={
            "autocommit": True,
            "row_factory": dict_row,
            "application_name": "step_mailing_worker",
            "options": "-c timezone=UTC",
        },
        open=False,
    )


class Store:
    """Calls the functions; each call is one transaction."""

    def __init__(self, pool: AsyncConnectionPool[Any], settings: WorkerSettings) -> None:
        self._pool = pool
        self._settings = settings

    async def claim(self, key: SendKey, attempt: int, claim: UUID) -> Claimed:
        row = await self._one("claim_send", key, claim, attempt=attempt)
        assert row is not None  # noqa: S101  (the function always answers)
        return Claimed(**row)

    async def renew(self, key: SendKey, claim: UUID) -> bool:
        row = await self._one("renew_claim", key, claim)
        return bool(row and row["renew_claim"])

    async def release(self, key: SendKey, claim: UUID) -> None:
        await self._one("release_claim", key, claim)

    async def mark_transmitting(self, key: SendKey, claim: UUID) -> Gate:
        row = await self._one("mark_transmitting", key, claim)
        assert row is not None  # noqa: S101
        return Gate(**row)

    async def finish(
        self,
        key: SendKey,
        claim: UUID,
        *,
        outcome: str,
        fault: str | None = None,
        reason: str | None = None,
        reply: Reply | None = None,
        provider_message_id: str | None = None,
        retry_seconds: int = 0,
    ) -> Finished | None:
        """Record an outcome; None where the claim is no longer the caller's."""
        row = await self._one(
            "finish_send",
            key,
            claim,
            outcome=outcome,
            fault=fault,
            reason=reason,
            code=reply.code or None if reply else None,
            enhanced_code=reply.enhanced_code if reply else None,
            reply=reply.scrubbed if reply else None,
            provider_message_id=provider_message_id,
            retry_seconds=retry_seconds,
            park_seconds=self._settings.park_seconds,
        )
        return Finished(**row) if row else None

    async def _one(self, name: str, key: SendKey, claim: UUID, **more: Any) -> dict[str, Any] | None:
        parameters = {
            **key._asdict(),
            "claim": claim,
            "pads": self._settings.address_pads,
            "lease_seconds": self._settings.claim_lease_seconds,
            **more,
        }
        async with self._pool.connection() as connection:
            cursor = await connection.execute(query("worker", name), parameters)
            return await cursor.fetchone()
