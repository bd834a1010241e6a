"""One message from its claim to its outcome."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

import psycopg
import psycopg_pool

from sequence_store.messages import DeliveryResult, SendKey, SendMessage
from sequence_store.queues import Incoming, Outgoing, Queue
from sequence_store.settings import WorkerSettings
from sequence_store.states import Outcome
from step_mailing_worker.crash_points import CrashPoint, reach
from step_mailing_worker.errors import DeliveryFailed, MessageFault, OutcomeUnknown
from step_mailing_worker.mail import build_mail
from step_mailing_worker.replies import Reply, classify, retry_seconds
from step_mailing_worker.smtp import Account, Connections, transmit
from step_mailing_worker.store import Claimed, Finished, Store

log = logging.getLogger("step_mailing_worker")

SOON_SECONDS = 2.0  # a message this much too early is waited for; a longer wait is the queue's
_AWAY = (psycopg.OperationalError, psycopg_pool.PoolTimeout)


@dataclass(frozen=True)
class Sender:
    """Handles messages; any number at once."""

    store: Store
    sends: Queue
    results: Queue
    connections: Connections
    settings: WorkerSettings

    async def handle(self, incoming: Incoming, message: SendMessage) -> None:
        """Claim the send, mail it, report it, delete its message."""
        key, claim = message.key, uuid4()
        send = await self._claim(key, message.attempt, claim)
        if send.verdict in ("early", "held"):
            await self._hide(incoming, send)
            return
        if send.verdict == "claimed":
            reach(CrashPoint.AFTER_CLAIM)
            async with self._kept(key, claim, incoming):
                status = await self._mail(key, claim, send, message.attempt)
        else:
            status = send.verdict
        log.info("send=%s attempt=%s status=%s reason=%s", tuple(key), message.attempt, status, send.reason)
        await self._report(message, status)
        await asyncio.to_thread(self.sends.delete, [incoming])

    async def _claim(self, key: SendKey, attempt: int, claim: UUID) -> Claimed:
        send = await self.store.claim(key, attempt, claim)
        while send.verdict == "early" and send.retry_at and _seconds_until(send.retry_at) <= SOON_SECONDS:
            await asyncio.sleep(max(0.01, _seconds_until(send.retry_at)))
            send = await self.store.claim(key, attempt, claim)
        return send

    async def _hide(self, incoming: Incoming, send: Claimed) -> None:
        seconds = _seconds_until(send.retry_at) if send.retry_at else 1.0
        await asyncio.to_thread(self.sends.hide, incoming, max(1.0, min(seconds, 900.0)))

    async def _mail(self, key: SendKey, claim: UUID, send: Claimed, attempt: int) -> str:
        """Deliver, and record what came of it; return the row's status, or `fenced`."""
        gate = _Gate(self.store, key, claim)
        try:
            reply = await self._deliver(key, send, gate)
        except MessageFault as fault:
            finished = await self.store.finish(
                key, claim, outcome="cancelled", fault="message", reason=str(fault)
            )
            return _status(finished)
        except OutcomeUnknown as error:
            return _status(await self._finish(key, claim, outcome=Outcome.UNKNOWN, reason=str(error)))
        except DeliveryFailed as failure:
            return _status(await self._failed(key, claim, failure.reply, attempt))
        if reply is None:
            return gate.verdict
        reach(CrashPoint.AFTER_ANSWER)
        finished = await self._finish(
            key, claim, outcome=Outcome.SENT, reply=reply, provider_message_id=reply.text.split("\n")[0]
        )
        reach(CrashPoint.AFTER_FINISH)
        return _status(finished)

    async def _deliver(self, key: SendKey, send: Claimed, gate: _Gate) -> Reply | None:
        body = build_mail(send, key, self.settings.address_pads).as_bytes()
        account = Account.of(send, self.settings)
        recipient, sender = _envelope(send.contact_address), _envelope(send.mailbox_address)
        client, kept = await self.connections.take(account)
        try:
            reply = await transmit(client, sender, recipient, body, gate.open, self.settings)
        except DeliveryFailed as failure:
            # A kept connection that the server has closed meanwhile says nothing about this mail.
            if not (kept and failure.reply.command == "MAIL" and failure.reply.code in (0, 421)):
                self.connections.keep(account, client)
                raise
            client = await self.connections.open(account)
            reply = await transmit(client, sender, recipient, body, gate.open, self.settings)
        self.connections.keep(account, client)
        return reply

    async def _failed(self, key: SendKey, claim: UUID, reply: Reply, attempt: int) -> Finished | None:
        meaning = classify(reply)
        return await self._finish(
            key,
            claim,
            outcome=meaning.outcome,
            fault=meaning.fault,
            reason=meaning.reason,
            reply=reply,
            retry_seconds=retry_seconds(reply, attempt, self.settings.soft_failure_retry_seconds),
        )

    async def _finish(self, key: SendKey, claim: UUID, **outcome: object) -> Finished | None:
        """Record until it lands: after the server's answer nothing else may be done about this send."""
        pause = 0.2
        while True:
            try:
                return await self.store.finish(key, claim, **outcome)  # type: ignore[arg-type]
            except _AWAY as error:
                log.warning(
                    "send=%s the database is away (%s); the outcome is kept", tuple(key), type(error).__name__
                )
                await asyncio.sleep(pause)
                pause = min(pause * 2, 10.0)

    async def _report(self, message: SendMessage, status: str) -> None:
        outcome = {"planned": Outcome.SOFT_FAILED}.get(status) or _outcome(status)
        if outcome is None:
            return
        result = DeliveryResult(
            sequence_id=message.sequence_id,
            contact_id=message.contact_id,
            sequence_step_id=message.sequence_step_id,
            round=message.round,
            attempt=message.attempt,
            outcome=outcome,
            at=datetime.now(UTC),
        )
        sent = await asyncio.to_thread(
            lambda: list(self.results.send([Outgoing("0", result.model_dump_json())], threads=1))
        )
        if not sent[0]:
            log.warning("send=%s its result could not be published; the ledger has it", tuple(message.key))
        reach(CrashPoint.AFTER_RESULT)

    @asynccontextmanager
    async def _kept(self, key: SendKey, claim: UUID, incoming: Incoming) -> AsyncIterator[None]:
        """Keep claim and message while the work goes on."""
        task = asyncio.create_task(self._keep(key, claim, incoming))
        try:
            yield
        finally:
            task.cancel()

    async def _keep(self, key: SendKey, claim: UUID, incoming: Incoming) -> None:
        lease = self.settings.claim_lease_seconds
        while True:
            await asyncio.sleep(lease / 3)
            try:
                await self.store.renew(key, claim)
                await asyncio.to_thread(self.sends.hide, incoming, lease)
            except Exception as error:  # noqa: BLE001  (a failed renewal is tried again; the gate decides)
                log.warning("send=%s its claim could not be renewed (%s)", tuple(key), type(error).__name__)


class _Gate:
    """Asks mark_transmitting, waiting out a gap that passes in a moment; keeps its verdict."""

    def __init__(self, store: Store, key: SendKey, claim: UUID) -> None:
        self._store, self._key, self._claim = store, key, claim
        self.verdict = "fenced"

    async def open(self) -> bool:
        while True:
            gate = await self._store.mark_transmitting(self._key, self._claim)
            self.verdict = gate.verdict
            if gate.verdict != "wait" or gate.retry_at is None:
                return gate.verdict == "transmitting"
            await asyncio.sleep(max(0.05, _seconds_until(gate.retry_at)))


def _seconds_until(instant: datetime) -> float:
    return (instant - datetime.now(UTC)).total_seconds()


def _status(finished: Finished | None) -> str:
    return finished.status if finished else "fenced"


def _outcome(status: str) -> Outcome | None:
    try:
        return Outcome(status)
    except ValueError:
        return None  # stale, absent, fenced: the row's own attempt reports


def _envelope(address: str) -> str:
    """Return the address for the envelope: its domain as punycode, its local part ASCII."""
    local, _, domain = address.strip().rpartition("@")
    try:
        local.encode("ascii")
        return f"{local}@{domain.encode('idna').decode()}"
    except UnicodeError:
        raise MessageFault("the address needs SMTPUTF8") from None
