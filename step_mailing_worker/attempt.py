"""One message from receipt to its end: claim, deliver, record, report, delete."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TypeVar, assert_never
from uuid import uuid4

from sequence_store.domain.messages import DeliveryResult, SendMessage, parse_message
from sequence_store.domain.states import Outcome, SendStatus
from sequence_store.errors import MalformedMessageError
from sequence_store.failpoints import Failpoint, reach
from sequence_store.settings import WorkerSettings
from sequence_store.sqs import Incoming
from sequence_store.tracing.traces import OFF, Traces
from step_mailing_worker import logs
from step_mailing_worker.delivery import Delivery
from step_mailing_worker.errors import GateClosedError
from step_mailing_worker.heartbeat import Heartbeat
from step_mailing_worker.metrics import WorkerMetrics
from step_mailing_worker.quota_counters import DayCounters
from step_mailing_worker.sqs_consumer import SendQueue
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

WAITED_FOR_SECONDS = 2.0  # a message that is early by less is held instead of hidden
LONGEST_GAP_WAIT_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 30.0
LIMIT_REACHED = "limit_reached"
COUNTED = frozenset({Outcome.SENT, Outcome.UNKNOWN})  # what stays counted against the day's limit

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class WorkerContext:
    """What all attempts of a worker share."""

    settings: WorkerSettings
    store: Store
    send_queue: SendQueue
    delivery: Delivery
    counters: DayCounters
    metrics: WorkerMetrics = field(default_factory=WorkerMetrics)
    traces: Traces = OFF


class Attempt:
    """One message's way through this worker.

    It may be interrupted until the gate before DATA: then its claim is released and its message visible at once.
    From the gate on, and while an outcome is being recorded, it runs to its end.
    """

    def __init__(self, context: WorkerContext, message: Incoming, settled: Callable[[], None]) -> None:
        """`settled` is called once the outcome is recorded: what is left is to tell the queues."""
        self._context = context
        self._message = message
        self._settled = settled
        self._claim = uuid4()
        self._send: SendMessage | None = None
        self._leased = False
        self._interruptible = False  # a task that is cancelled before its first step would clean up nothing
        self._asked_to_stop = False
        lease = context.settings.claim_lease_seconds
        self._heartbeat = Heartbeat(self._beat, period=min(lease, context.send_queue.visibility_seconds) / 3)
        self.task = asyncio.create_task(self._run())

    def interrupt(self) -> None:
        """Give the message back, unless its mail is going out. May be asked again: a cancellation can get lost.

        (Python 3.11's wait_for swallows one that meets its result.)
        """
        self._asked_to_stop = True
        if self._interruptible:
            self.task.cancel()

    async def _run(self) -> None:
        self._context.metrics.started()
        try:
            self._allow_interruption()
            await self._handle()
        except asyncio.CancelledError:
            await self._give_back()
        except Exception as error:  # noqa: BLE001  # its lease runs out, and its message comes back
            self._context.metrics.failed()
            logs.fail("attempt_failed", **self._ids(), error=type(error).__name__, at=_place(error))
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
                assert claim.send is not None  # noqa: S101  # the store gives both or none
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
            raise MalformedMessageError("environment: another deployment's message")
        return send

    async def _claimed(self, send: SendMessage) -> Claim:
        """Claim; wait for a minute that is about to come. No answer is no claim: it is released, and tried again."""
        uncertain = False
        pauses = _pauses()
        while True:
            try:
                if uncertain:
                    await self._context.store.release(send.key, self._claim)
                claim = await self._context.store.claim(send, self._claim)
            except DATABASE_AWAY as error:
                self._warn_once(uncertain, "claim_without_answer", error)
                uncertain = True
                await asyncio.sleep(next(pauses))
                continue
            if claim.verdict is not ClaimVerdict.EARLY or claim.retry_seconds > WAITED_FOR_SECONDS:
                self._leased = claim.verdict is ClaimVerdict.CLAIMED
                return claim
            await asyncio.sleep(max(0.0, claim.retry_seconds) + 0.01)

    async def _deliver(self, send: SendMessage, claimed: ClaimedSend) -> None:
        reach(Failpoint.AFTER_CLAIM)
        counters, day = self._context.counters, (claimed.mailbox_id, claimed.send_day)
        if not await self._admitted(send, day):
            return
        counted = False
        try:
            finish = await self._context.delivery.deliver(send, claimed, self._pass_gate)
            counted = finish.outcome in COUNTED
        except GateClosedError as closed:
            if closed.gate.reason == LIMIT_REACHED:
                counted = True
                await counters.put(*day, 0)
            await self._turned_back(send, closed.gate)
        else:
            await self._finish(send, finish)
        finally:
            if not counted:
                await counters.give_back(*day)

    async def _admitted(self, send: SendMessage, day: tuple[int, date]) -> bool:
        """Take the mail's place in the day; a counter's refusal holds only if the database confirms it."""
        if await self._context.counters.take(*day) != "refused":
            return True
        try:
            limit = await self._context.store.confirm_limit(send.key, self._claim)
        except DATABASE_AWAY:
            return True  # the gate before DATA asks the database again
        await self._context.counters.put(*day, limit.remaining)
        if limit.reached:
            self._leased = False
            await self._report(send, Outcome.CANCELLED, LIMIT_REACHED)
            return False
        await self._context.counters.take(*day)
        return True

    async def _pass_gate(self) -> None:
        """Return once the mail may go out; raise GateClosedError if it may not."""
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

    async def _turned_back(self, send: SendMessage, gate: Gate) -> None:
        match gate.verdict:
            case GateVerdict.CANCELLED:
                await self._report(send, Outcome.CANCELLED, gate.reason)
            case GateVerdict.EXPIRED:
                await self._report(send, Outcome.EXPIRED, gate.reason)
            case GateVerdict.PLANNED:
                logs.event("planned_again", **self._ids(), reason=gate.reason)
                await self._end(self._context.send_queue.delete(self._message))
            case GateVerdict.FENCED:
                # Somebody else may hold the claim and need the message yet; if not, it is found to be stale.
                logs.warn("fenced", **self._ids(), status=gate.reason)
                await self._end(self._context.send_queue.hide(self._message, 0))
            case GateVerdict.TRANSMITTING | GateVerdict.WAIT:
                raise AssertionError(gate.verdict)
            case _:
                assert_never(gate.verdict)

    async def _finish(self, send: SendMessage, finish: Finish) -> None:
        """Record the outcome, however long the database is away: until then the message stays."""
        self._interruptible = False
        with self._context.traces.span("record"):
            finished = await self._insist(lambda: self._context.store.finish(send, self._claim, finish))
        self._leased = False
        reach(Failpoint.AFTER_FINISH)
        if finished is None:
            logs.warn("finish_found_another_state", **self._ids(), outcome=finish.outcome)
        await self._report(send, _outcome(finish, finished), finish.reason, code=finish.smtp_code)

    async def _report(
        self, send: SendMessage, outcome: Outcome, reason: str | None, *, code: int | None = None
    ) -> None:
        """Publish what became of the send, and delete its message."""
        self._interruptible = False
        self._settled()
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

    async def _insist(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        pauses = _pauses()
        failed = False
        while True:
            try:
                return await call()
            except DATABASE_AWAY as error:
                self._warn_once(failed, "outcome_not_recorded_yet", error)
                failed = True
                await asyncio.sleep(next(pauses))

    async def _give_back(self) -> None:
        self._interruptible = False
        if self._send is not None:
            with suppress(*DATABASE_AWAY):
                await self._context.store.release(self._send.key, self._claim)
        logs.event("given_back", **self._ids())
        await self._end(self._context.send_queue.hide(self._message, 0))

    async def _end(self, last_word: Awaitable[None]) -> None:
        await self._heartbeat.stop()
        await last_word

    async def _beat(self) -> None:
        await self._context.send_queue.hide(self._message, self._context.settings.claim_lease_seconds)
        if self._leased and self._send is not None:
            with suppress(*DATABASE_AWAY):
                await self._context.store.renew(self._send.key, self._claim)

    def _allow_interruption(self) -> None:
        if self._asked_to_stop:
            raise asyncio.CancelledError
        self._interruptible = True

    def _warn_once(self, warned: bool, name: str, error: Exception) -> None:  # noqa: FBT001
        if not warned:
            logs.warn(name, **self._ids(), error=type(error).__name__)

    def _ids(self) -> dict[str, object]:
        if self._send is None:
            return {"message": self._message.message_id}
        return {**self._send.key._asdict(), "attempt": self._send.attempt}


def _outcome(finish: Finish, finished: Finished | None) -> Outcome:
    """Return what to report: a soft failure may have become a hard one, or an expiry."""
    if finished is None or finished.status is SendStatus.PLANNED:
        return finish.outcome
    return Outcome(finished.status)


def _pauses() -> Iterator[float]:
    pause = 0.1
    while True:
        yield pause
        pause = min(LONGEST_PAUSE_SECONDS, pause * 2)


def _place(error: BaseException) -> str | None:
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace else None
