"""Handles one message: claims its send, delivers the mail, records the outcome, deletes the message."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TypeVar, assert_never
from uuid import uuid4

from sequence_store.domain.addresses import address_or_text
from sequence_store.domain.messages import DeliveryResult, SendMessage, parse_message
from sequence_store.domain.states import Outcome, SendReason, SendStatus
from sequence_store.errors import MalformedMessageError
from sequence_store.failpoints import Failpoint, reach
from sequence_store.settings import WorkerSettings
from sequence_store.sqs import Incoming
from sequence_store.tracing.traces import OFF, Traces
from step_mailing_worker import logs
from step_mailing_worker.backoff import backoff
from step_mailing_worker.delivery import Delivery
from step_mailing_worker.errors import GateClosedError
from step_mailing_worker.heartbeat import Heartbeat
from step_mailing_worker.metrics import WorkerMetrics
from step_mailing_worker.quota_counters import QuotaCounters
from step_mailing_worker.sqs_consumer import SendQueue, ids
from step_mailing_worker.store import (
    DATABASE_AWAY,
    Claim,
    ClaimedSend,
    ClaimVerdict,
    Finish,
    Finished,
    Gate,
    GateVerdict,
    Store,
)

LONGEST_EARLY_WAIT_SECONDS = 2.0  # a message that is early by more is hidden until its time
LONGEST_GAP_WAIT_SECONDS = 5.0
FIRST_RETRY_SECONDS = 0.1
COUNTED = frozenset({Outcome.SENT, Outcome.UNKNOWN})  # outcomes that stay counted against the day's limit

Value = TypeVar("Value")


@dataclass(frozen=True)
class WorkerContext:
    """Services that all attempts of a worker share."""

    settings: WorkerSettings
    store: Store
    send_queue: SendQueue
    delivery: Delivery
    counters: QuotaCounters
    metrics: WorkerMetrics = field(default_factory=WorkerMetrics)
    traces: Traces = OFF


class Attempt:
    """One attempt to send the mail that a message names; starts its own task.

    It can be interrupted until the gate before DATA: it then releases its claim and makes its message visible
    at once. From the gate on, and while it records an outcome, it runs to its end.
    """

    def __init__(self, context: WorkerContext, message: Incoming, on_recorded: Callable[[], None]) -> None:
        """`on_recorded` is called when the outcome is recorded, before the result is published."""
        self._context = context
        self._message = message
        self._on_recorded = on_recorded
        self._claim = uuid4()
        self._send: SendMessage | None = None
        self._leased = False
        self._interruptible = False  # a task that is cancelled before its first step runs no cleanup
        self._stop_requested = False
        lease = context.settings.claim_lease_seconds
        self._heartbeat = Heartbeat(self._beat, period=min(lease, context.send_queue.visibility_seconds) / 3)
        self.task = asyncio.create_task(self._run())

    def interrupt(self) -> None:
        """Release the claim and the message, unless the mail is being transferred.

        Call it again until the task is done: Python 3.11's wait_for swallows a cancellation that arrives
        together with its result.
        """
        self._stop_requested = True
        if self._interruptible:
            self.task.cancel()

    async def _run(self) -> None:
        self._context.metrics.started()
        try:
            self._allow_interruption()
            await self._handle()
        except asyncio.CancelledError:
            await self._release()
        except Exception as error:  # noqa: BLE001  # the lease expires, and SQS delivers the message again
            self._context.metrics.failed()
            logs.fail("attempt_failed", **self._ids(), error=type(error).__name__, at=_location(error))
        finally:
            self._context.metrics.stopped()
            await self._heartbeat.stop()

    async def _handle(self) -> None:
        reach(Failpoint.AFTER_RECEIVE)
        try:
            send = self._send = self._parsed()
        except MalformedMessageError as error:
            await self._end(self._context.send_queue.dead_letter(self._message, str(error)))
            return
        with self._context.traces.span("send", send.key, attempt=send.attempt, mailbox_id=send.mailbox_id):
            await self._attempt(send)

    async def _attempt(self, send: SendMessage) -> None:
        with self._context.traces.span("claim"):
            claim = await self._claimed(send)
        self._context.traces.note(claim=claim.verdict)
        match claim.verdict:
            case ClaimVerdict.CLAIMED:
                assert claim.send is not None  # noqa: S101  # the store sets `send` with this verdict
                await self._hash_other_spelling(send, claim.send)
                await self._deliver(send, claim.send)
            case ClaimVerdict.EARLY | ClaimVerdict.HELD:
                await self._end(self._context.send_queue.hide(self._message, claim.retry_seconds))
            case ClaimVerdict.CANCELLED:
                await self._report(send, Outcome.CANCELLED, claim.reason)
            case ClaimVerdict.EXPIRED:
                await self._report(send, Outcome.EXPIRED, claim.reason)
            case ClaimVerdict.STALE | ClaimVerdict.ABSENT:
                logs.event(claim.verdict, **self._ids(), status=claim.reason)
                await self._end(self._context.send_queue.delete(self._message))
            case _:
                assert_never(claim.verdict)

    def _parsed(self) -> SendMessage:
        send = parse_message(SendMessage, self._message.body)
        if send.environment != self._context.settings.sequence_environment:
            raise MalformedMessageError("environment: the message belongs to another deployment")
        return send

    async def _claimed(self, send: SendMessage) -> Claim:
        """Claim the send; if it is due within LONGEST_EARLY_WAIT_SECONDS, wait and claim again.

        If the database does not respond, the claim may have been made: it is released before the retry.
        """
        uncertain = False
        delays = backoff(FIRST_RETRY_SECONDS)
        while True:
            try:
                if uncertain:
                    await self._context.store.release(send.key, self._claim)
                claim = await self._context.store.claim(send, self._claim)
            except DATABASE_AWAY as error:
                self._warn_once(uncertain, "claim_without_answer", error)
                uncertain = True
                await asyncio.sleep(next(delays))
                continue
            if claim.verdict is not ClaimVerdict.EARLY or claim.retry_seconds > LONGEST_EARLY_WAIT_SECONDS:
                self._leased = claim.verdict is ClaimVerdict.CLAIMED
                return claim
            await asyncio.sleep(max(0.0, claim.retry_seconds) + 0.01)

    async def _hash_other_spelling(self, send: SendMessage, claimed: ClaimedSend) -> None:
        """Let the gate find the suppression of an address that SQL entered in another spelling."""
        address, store = claimed.contact_address, self._context.store
        canonical = address_or_text(address)
        if canonical == address:
            return
        if not address.isascii() or canonical.lower() != address.strip(" ").lower():
            await self._retry_until_recorded(
                lambda: store.store_canonical_hmac(send.contact_id, address, canonical)
            )

    async def _deliver(self, send: SendMessage, claimed: ClaimedSend) -> None:
        reach(Failpoint.AFTER_CLAIM)
        counters, day = self._context.counters, (claimed.mailbox_id, claimed.send_day)
        if not await self._within_quota(send, day):
            return
        counted = False
        try:
            finish = await self._context.delivery.deliver(send, claimed, self._pass_gate)
            counted = finish.outcome in COUNTED
        except GateClosedError as closed:
            if closed.gate.reason == SendReason.LIMIT_REACHED:
                counted = True
                await counters.correct(*day, 0)
            await self._handle_closed_gate(send, closed.gate)
        else:
            await self._finish(send, finish)
        finally:
            if not counted:
                await counters.release(*day)

    async def _within_quota(self, send: SendMessage, day: tuple[int, date]) -> bool:
        """Reserve one mail of the day; a counter's refusal holds only if the database confirms it."""
        if await self._context.counters.reserve(*day) != "refused":
            return True
        try:
            limit = await self._context.store.confirm_limit(send.key, self._claim)
        except DATABASE_AWAY:
            return True  # the gate before DATA checks the limit again
        await self._context.counters.correct(*day, limit.remaining)
        if limit.reached:
            self._leased = False
            await self._report(send, Outcome.CANCELLED, SendReason.LIMIT_REACHED)
            return False
        await self._context.counters.reserve(*day)
        return True

    async def _pass_gate(self) -> None:
        """Return when the database allows the transfer; raise GateClosedError if it does not."""
        assert self._send is not None  # noqa: S101
        while True:
            self._interruptible = False
            with self._context.traces.span("gate"):
                gate = await self._context.store.mark_transmitting(self._send, self._claim)
            if gate.verdict is GateVerdict.TRANSMITTING:
                self._leased = False
                return
            if gate.verdict is not GateVerdict.WAIT:
                raise GateClosedError(gate)
            self._allow_interruption()
            await asyncio.sleep(min(LONGEST_GAP_WAIT_SECONDS, max(0.0, gate.retry_seconds)) + 0.01)

    async def _handle_closed_gate(self, send: SendMessage, gate: Gate) -> None:
        match gate.verdict:
            case GateVerdict.CANCELLED:
                await self._report(send, Outcome.CANCELLED, gate.reason)
            case GateVerdict.EXPIRED:
                await self._report(send, Outcome.EXPIRED, gate.reason)
            case GateVerdict.PLANNED:
                logs.event("planned_again", **self._ids(), reason=gate.reason)
                await self._end(self._context.send_queue.delete(self._message))
            case GateVerdict.FENCED:
                # Another worker may hold the claim and need the message; if not, the next claim is stale.
                logs.warn("fenced", **self._ids(), status=gate.reason)
                await self._end(self._context.send_queue.hide(self._message, 0))
            case GateVerdict.TRANSMITTING | GateVerdict.WAIT:
                raise AssertionError(gate.verdict)
            case _:
                assert_never(gate.verdict)

    async def _finish(self, send: SendMessage, finish: Finish) -> None:
        """Record the outcome, retrying while the database is unavailable; the message stays until then."""
        self._interruptible = False
        with self._context.traces.span("record"):
            finished = await self._retry_until_recorded(
                lambda: self._context.store.finish(send, self._claim, finish)
            )
        self._leased = False
        reach(Failpoint.AFTER_FINISH)
        if finished is None:
            logs.warn("finish_found_another_state", **self._ids(), outcome=finish.outcome)
        await self._report(send, _outcome(finish, finished), finish.reason, code=finish.smtp_code)

    async def _report(
        self, send: SendMessage, outcome: Outcome, reason: str | None, *, code: int | None = None
    ) -> None:
        """Publish the outcome and delete the message."""
        self._interruptible = False
        self._on_recorded()
        logs.event(outcome, **self._ids(), reason=reason, code=code)
        late = (datetime.now(UTC) - send.send_at).total_seconds()
        self._context.metrics.ended(outcome, late)
        self._context.traces.note(outcome=outcome, reason=reason, smtp_code=code, late_seconds=late)
        result = DeliveryResult(
            sequence_id=send.sequence_id,
            contact_id=send.contact_id,
            sequence_step_id=send.sequence_step_id,
            round=send.round,
            attempt=send.attempt,
            outcome=outcome,
        )
        await self._context.send_queue.publish(result)
        reach(Failpoint.AFTER_RESULT)
        await self._end(self._context.send_queue.delete(self._message))

    async def _retry_until_recorded(self, call: Callable[[], Awaitable[Value]]) -> Value:
        delays = backoff(FIRST_RETRY_SECONDS)
        failed = False
        while True:
            try:
                return await call()
            except DATABASE_AWAY as error:
                self._warn_once(failed, "outcome_not_recorded_yet", error)
                failed = True
                await asyncio.sleep(next(delays))

    async def _release(self) -> None:
        self._interruptible = False
        if self._send is not None:
            with suppress(*DATABASE_AWAY):
                await self._context.store.release(self._send.key, self._claim)
        logs.event("given_back", **self._ids())
        await self._end(self._context.send_queue.hide(self._message, 0))

    async def _end(self, final_call: Awaitable[None]) -> None:
        await self._heartbeat.stop()
        await final_call

    async def _beat(self) -> None:
        await self._context.send_queue.hide(self._message, self._context.settings.claim_lease_seconds)
        if self._leased and self._send is not None:
            with suppress(*DATABASE_AWAY):
                await self._context.store.renew(self._send.key, self._claim)

    def _allow_interruption(self) -> None:
        if self._stop_requested:
            raise asyncio.CancelledError
        self._interruptible = True

    def _warn_once(self, warned: bool, name: str, error: Exception) -> None:  # noqa: FBT001
        if not warned:
            logs.warn(name, **self._ids(), error=type(error).__name__)

    def _ids(self) -> dict[str, object]:
        if self._send is None:
            return {"message": self._message.message_id}
        return ids(self._send)


def _outcome(finish: Finish, finished: Finished | None) -> Outcome:
    """Return the outcome to publish: the database may turn a soft failure into a hard one or an expiry."""
    if finished is None or finished.status is SendStatus.PLANNED:
        return finish.outcome
    return Outcome(finished.status)


def _location(error: BaseException) -> str | None:
    """Return `file:line` of the innermost frame: the message of the error may contain personal data."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace else None
