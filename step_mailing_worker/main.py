"""Receives send messages and handles many at once, until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

from botocore.exceptions import BotoCoreError, ClientError

from sequence_store.errors import MalformedMessageError
from sequence_store.messages import SendMessage, parse_message
from sequence_store.queues import BATCH, Incoming, Queue, sqs_client
from sequence_store.settings import WorkerSettings
from step_mailing_worker.crash_points import CrashPoint, reach
from step_mailing_worker.sending import Sender
from step_mailing_worker.smtp import Connections
from step_mailing_worker.store import Store, open_pool

log = logging.getLogger("step_mailing_worker")

WAIT_SECONDS = 3  # of a long poll; a stop waits for it
LONGEST_PAUSE = 30.0


def run(settings: WorkerSettings) -> int:
    """Work until SIGTERM or SIGINT; what is being sent then is finished first. Returns the exit code."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(_work(settings))
    return 0


async def _work(settings: WorkerSettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    client = sqs_client(settings, connections=settings.worker_concurrency + 4)
    sends = Queue.look_up(client, settings.sends_queue)
    results = Queue.look_up(client, settings.delivery_results_queue)
    connections = Connections(settings)
    async with open_pool(settings) as pool:
        sender = Sender(Store(pool, settings), sends, results, connections, settings)
        log.info("worker ready concurrency=%s", settings.worker_concurrency)
        await _Loop(sender, stop).run()
    await connections.close()
    log.info("worker stopped")


class _Loop:
    """Keeps at most `worker_concurrency` messages in hand."""

    def __init__(self, sender: Sender, stop: asyncio.Event) -> None:
        self._sender = sender
        self._stop = stop
        self._tasks: set[asyncio.Task[None]] = set()
        self._pause = 0.0

    async def run(self) -> None:
        while not self._stop.is_set():
            free = self._sender.settings.worker_concurrency - len(self._tasks)
            if not free:
                await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
                continue
            for incoming in await self._receive(free):
                task = asyncio.create_task(self._handle(incoming))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _receive(self, most: int) -> list[Incoming]:
        receiving = asyncio.create_task(
            asyncio.to_thread(self._sender.sends.receive, most=min(most, BATCH), wait_seconds=WAIT_SECONDS)
        )
        try:
            messages = await receiving
        except (BotoCoreError, ClientError) as error:
            self._pause = min(max(1.0, self._pause * 2), LONGEST_PAUSE)
            log.warning("the queue does not answer (%s); again in %s s", type(error).__name__, self._pause)
            await asyncio.sleep(self._pause)
            return []
        self._pause = 0.0
        if messages:
            reach(CrashPoint.AFTER_RECEIVE)
        return messages

    async def _handle(self, incoming: Incoming) -> None:
        """Handle one message; whatever goes wrong with it, the others go on and the queue brings it back."""
        try:
            if self._stop.is_set():
                await asyncio.to_thread(self._sender.sends.hide, incoming, 0)
            elif message := await self._read(incoming):
                await self._sender.handle(incoming, message)
        except Exception as error:  # noqa: BLE001
            log.error("message=%s failed: %s", incoming.message_id, type(error).__name__)  # noqa: TRY400  (a trace may hold an address)

    async def _read(self, incoming: Incoming) -> SendMessage | None:
        try:
            message = parse_message(SendMessage, incoming.body)
        except MalformedMessageError as error:
            await asyncio.to_thread(self._sender.sends.bury, incoming, str(error))
            return None
        if message.environment != self._sender.settings.sequence_environment:
            await asyncio.to_thread(self._sender.sends.bury, incoming, "environment: another deployment's")
            return None
        return message
