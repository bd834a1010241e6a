"""Receives messages and runs many attempts concurrently, until it is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress

from sequence_store.settings import WorkerSettings
from sequence_store.sqs import BATCH, Incoming
from sequence_store.tracing.factory import open_traces
from step_mailing_worker import logs
from step_mailing_worker.attempt import Attempt, WorkerContext
from step_mailing_worker.backoff import backoff
from step_mailing_worker.credentials import Credentials
from step_mailing_worker.delivery import Delivery
from step_mailing_worker.health import Health
from step_mailing_worker.mailbox_connections import MailboxConnections
from step_mailing_worker.metrics import WorkerMetrics
from step_mailing_worker.quota_counters import QuotaCounters
from step_mailing_worker.ses import SesTransport
from step_mailing_worker.signing import Signer
from step_mailing_worker.smtp import Bounds
from step_mailing_worker.sqs_consumer import QUEUE_AWAY, Queues, SendQueue
from step_mailing_worker.start_checks import await_schema, refuse_sinks
from step_mailing_worker.store import Store

_ATTEMPTS_PER_RECEIVER = 32
_MOST_RECEIVERS = 32  # each receiver occupies a thread during its long poll
_FIRST_DELAY_SECONDS = 0.5
_INTERRUPT_AGAIN_SECONDS = 0.2


class Worker:
    """One worker process. Create it inside a running event loop. Raises SettingsError for a bad DKIM key."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._signer = Signer.of(settings.dkim_keys)
        self._stopping = asyncio.Event()
        self._slots = _Slots(settings.worker_concurrency)
        self._receivers = min(_MOST_RECEIVERS, -(-settings.worker_concurrency // _ATTEMPTS_PER_RECEIVER))
        self._attempts: set[Attempt] = set()

    def stop(self) -> None:
        """Stop receiving; finish the mails that are being sent and release the other messages."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until `stop`.

        Raise QueueMissingError or QueueForeignError for a queue that is missing or of another environment,
        and SettingsError if mails would be lost in a mail sink.
        """
        metrics = WorkerMetrics()
        store = Store(self._settings)
        self._health = Health("queue", "schema")
        self._health.check("database", store.responds)
        server = metrics.serve(self._settings, self._health)
        await store.open()
        try:
            send_queue = await self._opened_queue()
            if send_queue is not None and await self._may_start(store):
                await self._work_with(store, send_queue, metrics)
            elif send_queue is not None:
                await send_queue.close()
        finally:
            await store.close()
            if server:
                await asyncio.to_thread(server.shutdown)
                server.server_close()

    async def _may_start(self, store: Store) -> bool:
        """Wait for the schema and refuse sinks; return False if stopped meanwhile."""
        if not await await_schema(store, self._stopped_within):
            return False
        self._health.note("schema", up=True)
        await refuse_sinks(store, self._settings)
        return True

    async def _work_with(self, store: Store, send_queue: SendQueue, metrics: WorkerMetrics) -> None:
        bounds = Bounds(
            float(self._settings.smtp_timeout_seconds), float(self._settings.smtp_final_dot_seconds)
        )
        credentials = Credentials(self._settings, store.keep_secret)
        connections = MailboxConnections(bounds, credentials)
        ses = SesTransport(self._settings, credentials)
        counters = QuotaCounters(self._settings)
        traces = open_traces(self._settings, "step-mailing-worker")
        delivery = Delivery(self._settings, connections, self._signer, ses, traces)
        context = WorkerContext(self._settings, store, send_queue, delivery, counters, metrics, traces)
        self._health.note("queue", up=True)
        logs.event("started", concurrency=self._settings.worker_concurrency)
        try:
            await self._work(context)
        finally:
            await connections.close()
            ses.close()
            await credentials.close()
            await counters.close()
            await send_queue.close()
            await asyncio.to_thread(traces.stop)
            logs.event("stopped")

    async def _work(self, context: WorkerContext) -> None:
        receivers = [asyncio.create_task(self._receive(context)) for _ in range(self._receivers)]
        await self._stopping.wait()
        while self._attempts or not all(receiver.done() for receiver in receivers):
            for attempt in self._attempts:
                attempt.interrupt()
            await asyncio.wait(
                [*receivers, *(attempt.task for attempt in self._attempts)], timeout=_INTERRUPT_AGAIN_SECONDS
            )
        await asyncio.gather(*receivers)

    async def _receive(self, context: WorkerContext) -> None:
        """Receive as many messages as there are free slots; back off while the queue is unavailable."""
        delays: Iterator[float] | None = None
        while not self._stopping.is_set():
            acquired = await self._slots.acquire(BATCH)
            try:
                messages = await context.send_queue.receive(most=acquired)
            except QUEUE_AWAY as error:
                self._slots.release(acquired)
                self._health.note("queue", up=False)
                if delays is None:
                    logs.warn("receive_failed", error=type(error).__name__)
                    delays = backoff(_FIRST_DELAY_SECONDS)
                await self._stopped_within(next(delays))
                continue
            if delays is not None:
                logs.event("receives_again")
                self._health.note("queue", up=True)
                delays = None
            self._slots.release(acquired - len(messages))
            for message in messages:
                self._start(context, message)

    def _start(self, context: WorkerContext, message: Incoming) -> None:
        slot = _Slot(self._slots)
        attempt = Attempt(context, message, on_recorded=lambda: self._recorded(slot))
        self._attempts.add(attempt)
        attempt.task.add_done_callback(lambda _: self._ended(attempt, slot))
        if self._stopping.is_set():
            attempt.interrupt()

    def _recorded(self, slot: _Slot) -> None:
        """Free the slot of an attempt whose outcome is recorded, so that the next mail can begin.

        The attempt has still to publish its result and to delete its message. The bound on all attempts, half
        as many again as the concurrency, keeps such attempts from piling up while SQS is slow.
        """
        if len(self._attempts) < self._settings.worker_concurrency * 3 // 2:
            slot.release()

    def _ended(self, attempt: Attempt, slot: _Slot) -> None:
        self._attempts.discard(attempt)
        slot.release()

    async def _opened_queue(self) -> SendQueue | None:
        delays = backoff(_FIRST_DELAY_SECONDS)
        while not self._stopping.is_set():
            try:
                queues = await asyncio.to_thread(Queues.look_up, self._settings, receivers=self._receivers)
                return SendQueue(queues, receivers=self._receivers)
            except QUEUE_AWAY as error:
                logs.warn("queues_not_reached", error=type(error).__name__)
                await self._stopped_within(next(delays))
        return None

    async def _stopped_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        return self._stopping.is_set()


class _Slots:
    """Limits how many messages are received: a message is received only if its claim can begin at once."""

    def __init__(self, free: int) -> None:
        self._free = free
        self._released = asyncio.Event()

    async def acquire(self, most: int) -> int:
        """Wait for a free slot; return how many were acquired, from 1 to `most`."""
        while not self._free:
            self._released.clear()
            await self._released.wait()
        acquired = min(most, self._free)
        self._free -= acquired
        return acquired

    def release(self, count: int) -> None:
        self._free += count
        self._released.set()


class _Slot:
    """One attempt's slot; only the first call of `release` frees it."""

    def __init__(self, slots: _Slots) -> None:
        self._slots = slots
        self._is_free = False

    def release(self) -> None:
        if not self._is_free:
            self._is_free = True
            self._slots.release(1)
