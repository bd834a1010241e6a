"""Receives messages and handles many at once, until it is stopped."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from sequence_store.settings import WorkerSettings
from sequence_store.sqs import BATCH, Incoming
from sequence_store.tracing.traces import open_traces
from step_mailing_worker import logs
from step_mailing_worker.attempt import Attempt, WorkerContext
from step_mailing_worker.credentials import Credentials
from step_mailing_worker.delivery import Delivery
from step_mailing_worker.mailbox_connections import MailboxConnections
from step_mailing_worker.quota_counters import DayCounters
from step_mailing_worker.ses import SesTransport
from step_mailing_worker.signing import Signer
from step_mailing_worker.smtp import Bounds
from step_mailing_worker.sqs_consumer import QUEUE_AWAY, Queues, SendQueue
from step_mailing_worker.store import Store

_ATTEMPTS_PER_RECEIVER = 32
_MOST_RECEIVERS = 32  # each a thread that waits
_LONGEST_PAUSE_SECONDS = 30.0
_ASK_AGAIN_SECONDS = 0.2


class Worker:
    """One process's work. Make it inside the event loop that runs it; SettingsError: a DKIM key is none."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._signer = Signer.of(settings.dkim_keys)
        self._stopping = asyncio.Event()
        self._places = _Places(settings.worker_concurrency)
        self._receivers = min(_MOST_RECEIVERS, -(-settings.worker_concurrency // _ATTEMPTS_PER_RECEIVER))
        self._attempts: set[Attempt] = set()

    def stop(self) -> None:
        """Receive no more; finish what is being sent and give the rest back."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until `stop`; raise QueueMissingError if there is nothing to receive from."""
        send_queue = await self._opened_queue()
        if send_queue is None:
            return
        store = Store(self._settings)
        bounds = Bounds(
            float(self._settings.smtp_timeout_seconds), float(self._settings.smtp_final_dot_seconds)
        )
        credentials = Credentials(self._settings, store.keep_secret)
        connections = MailboxConnections(bounds, credentials)
        ses = SesTransport(self._settings, credentials)
        counters = DayCounters(self._settings)
        traces = open_traces(self._settings, "step-mailing-worker")
        delivery = Delivery(self._settings, connections, self._signer, ses, traces)
        context = WorkerContext(self._settings, store, send_queue, delivery, counters, traces=traces)
        context.metrics.serve(self._settings)
        await store.open()
        logs.event("started", concurrency=self._settings.worker_concurrency)
        try:
            await self._work(context)
        finally:
            await connections.close()
            ses.close()
            await credentials.close()
            await counters.close()
            await store.close()
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
                [*receivers, *(attempt.task for attempt in self._attempts)], timeout=_ASK_AGAIN_SECONDS
            )
        await asyncio.gather(*receivers)

    async def _receive(self, context: WorkerContext) -> None:
        """Receive what there is a place for; a queue that is away is asked again, ever less often."""
        pause = 0.0
        while not self._stopping.is_set():
            room = await self._places.take(BATCH)
            try:
                messages = await context.send_queue.receive(most=room)
            except QUEUE_AWAY as error:
                self._places.give(room)
                if not pause:
                    logs.warn("receive_failed", error=type(error).__name__)
                pause = min(_LONGEST_PAUSE_SECONDS, pause * 2 or 0.5)
                await self._stopped_within(pause)
                continue
            if pause:
                logs.event("receives_again")
                pause = 0.0
            self._places.give(room - len(messages))
            for message in messages:
                self._start(context, message)

    def _start(self, context: WorkerContext, message: Incoming) -> None:
        place = _Place(self._places)
        attempt = Attempt(context, message, settled=lambda: self._settled(place))
        self._attempts.add(attempt)
        attempt.task.add_done_callback(lambda _: self._ended(attempt, place))
        if self._stopping.is_set():
            attempt.interrupt()

    def _settled(self, place: _Place) -> None:
        """Let the next mail begin while this one's result is told, unless half as many as may be sent wait for that."""
        if len(self._attempts) < self._settings.worker_concurrency * 3 // 2:
            place.leave()

    def _ended(self, attempt: Attempt, place: _Place) -> None:
        self._attempts.discard(attempt)
        place.leave()

    async def _opened_queue(self) -> SendQueue | None:
        pause = 0.5
        while not self._stopping.is_set():
            try:
                queues = await asyncio.to_thread(Queues.look_up, self._settings, receivers=self._receivers)
                return SendQueue(queues, receivers=self._receivers)
            except QUEUE_AWAY as error:
                logs.warn("queues_not_reached", error=type(error).__name__)
                await self._stopped_within(pause)
                pause = min(_LONGEST_PAUSE_SECONDS, pause * 2)
        return None

    async def _stopped_within(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)


class _Places:
    """What may still be prefetched: a message is received only if its claim can be tried at once."""

    def __init__(self, free: int) -> None:
        self._free = free
        self._returned = asyncio.Event()

    async def take(self, most: int) -> int:
        """Wait for a place; return how many were taken, at least one."""
        while not self._free:
            self._returned.clear()
            await self._returned.wait()
        taken = min(most, self._free)
        self._free -= taken
        return taken

    def give(self, places: int) -> None:
        self._free += places
        self._returned.set()


class _Place:
    """One attempt's place, which is left once."""

    def __init__(self, places: _Places) -> None:
        self._places = places
        self._left = False

    def leave(self) -> None:
        if not self._left:
            self._left = True
            self._places.give(1)
