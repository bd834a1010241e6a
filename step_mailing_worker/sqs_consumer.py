"""Receives send messages from SQS and publishes results, with boto3 in threads.

Measurements showed boto3 in threads to be faster than an asyncio client.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from sequence_store.domain.messages import DeliveryResult, SendMessage
from sequence_store.settings import WorkerSettings
from sequence_store.sqs import BATCH, Incoming, Outgoing, Queue, sqs_client
from step_mailing_worker import logs
from step_mailing_worker.batching import Batches

RECEIVE_WAIT_SECONDS = 2  # a stop waits for the current receive call
LINGER_SECONDS = 0.03  # a call for one message costs as much as a call for ten
CALLS = 8  # concurrent calls, in addition to the receivers

QUEUE_AWAY = (BotoCoreError, ClientError)

Value = TypeVar("Value")


@dataclass(frozen=True)
class Queues:
    """The worker's two queues, and the visibility timeout of `sends` in seconds."""

    sends: Queue
    results: Queue
    visibility_seconds: float

    @classmethod
    def look_up(cls, settings: WorkerSettings, *, receivers: int) -> Queues:
        """Find the queues; raise QueueMissingError or QueueForeignError, or QUEUE_AWAY if SQS is down."""
        client = sqs_client(settings, connections=receivers + CALLS)
        environment = settings.sequence_environment
        sends = Queue.look_up(client, settings.sends_queue, environment=environment)
        results = Queue.look_up(client, settings.delivery_results_queue, environment=environment)
        attributes = client.get_queue_attributes(QueueUrl=sends.url, AttributeNames=["VisibilityTimeout"])
        return cls(sends, results, float(attributes["Attributes"]["VisibilityTimeout"]))


class SendQueue:
    """Receives, deletes, hides and dead-letters send messages. Create it inside a running event loop."""

    def __init__(self, queues: Queues, *, receivers: int) -> None:
        self._sends = queues.sends
        self._results = queues.results
        self._threads = ThreadPoolExecutor(receivers + CALLS, thread_name_prefix="sqs")
        self._deletions = Batches(self._delete_all, most=BATCH, at_once=CALLS // 2, linger=LINGER_SECONDS)
        self._publications = Batches(self._publish_all, most=BATCH, at_once=CALLS // 2, linger=LINGER_SECONDS)
        self.visibility_seconds = queues.visibility_seconds

    async def receive(self, *, most: int) -> list[Incoming]:
        """Receive up to `most` messages; wait up to RECEIVE_WAIT_SECONDS for the first. Raise QUEUE_AWAY."""
        return await self._in_thread(
            lambda: self._sends.receive(most=most, wait_seconds=RECEIVE_WAIT_SECONDS),
        )

    async def delete(self, message: Incoming) -> None:
        """Delete a handled message. If the call fails, SQS delivers it again and its claim finds it stale."""
        try:
            await self._deletions.submit(message)
        except QUEUE_AWAY as error:
            logs.warn("message_not_deleted", message=message.message_id, error=type(error).__name__)

    async def hide(self, message: Incoming, seconds: float) -> None:
        """Hide the message for `seconds`. If the call fails, the queue's visibility timeout applies."""
        whole = math.ceil(max(0.0, seconds))
        try:
            await self._in_thread(lambda: self._sends.hide(message, whole))
        except QUEUE_AWAY as error:
            logs.warn("message_not_hidden", message=message.message_id, error=type(error).__name__)

    async def dead_letter(self, message: Incoming, reason: str) -> None:
        """Move a message that cannot be handled to the dead-letter queue."""
        logs.warn("message_buried", message=message.message_id, reason=reason)
        try:
            await self._in_thread(lambda: self._sends.dead_letter(message, reason))
        except QUEUE_AWAY as error:
            logs.warn("message_not_buried", message=message.message_id, error=type(error).__name__)

    async def publish(self, result: DeliveryResult) -> None:
        """Publish the result for the results job. If that fails, `reconcile` finds the finished row."""
        try:
            published = await self._publications.submit(result)
        except QUEUE_AWAY:
            published = False
        if not published:
            logs.warn("result_not_published", **ids(result))

    async def close(self) -> None:
        await self._deletions.close()
        await self._publications.close()
        await asyncio.to_thread(self._threads.shutdown)
        self._sends.client.close()

    async def _delete_all(self, messages: list[Incoming]) -> list[None]:
        await self._in_thread(lambda: self._sends.delete(messages))
        return [None] * len(messages)

    async def _publish_all(self, results: list[DeliveryResult]) -> list[bool]:
        outgoing = [Outgoing(str(n), result.model_dump_json()) for n, result in enumerate(results)]
        batches = await self._in_thread(lambda: list(self._results.send(outgoing, threads=1)))
        confirmed = {id_ for batch in batches for id_ in batch}
        return [str(n) in confirmed for n in range(len(results))]

    async def _in_thread(self, call: Callable[[], Value]) -> Value:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


def ids(message: SendMessage | DeliveryResult) -> dict[str, object]:
    """Return the fields that identify a message in a log line."""
    return {**message.key._asdict(), "attempt": message.attempt}
