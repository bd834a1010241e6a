"""Wraps SQS: looks up queues, sends in batches, receives, deletes and dead-letters messages.

A queue belongs to one environment, which its tags name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from sequence_store.deployment import advice
from sequence_store.errors import QueueDiffersError, QueueForeignError, QueueMissingError
from sequence_store.loopback import is_loopback
from sequence_store.settings import LOCAL

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType
    from mypy_boto3_sqs.type_defs import MessageTypeDef

    from sequence_store.settings import Settings

BATCH = 10  # messages per request, the maximum of SQS
MAX_DELAY_SECONDS = 900
MAX_RECEIVES = 5
RETENTION_SECONDS = 4 * 86_400
DEAD_LETTER_RETENTION_SECONDS = 14 * 86_400  # a dead letter keeps its age, so its queue must retain it longer
DEAD_LETTER_SUFFIX = "-dlq"
ENVIRONMENT_TAG = "sequence_environment"
_ENVIRONMENT_TAGS = (ENVIRONMENT_TAG, "environment")  # the first one that a queue has counts
_NOT_ALLOWED = frozenset({"AccessDenied", "AccessDeniedException"})

Item = TypeVar("Item")


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield `items` in lists of at most `size`."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def sqs_client(settings: Settings, *, connections: int = 16, read_timeout: float = 30) -> SQSClient:
    """Return a client with short timeouts and one layer of retries; boto3 finds the credentials."""
    no_proxy: dict[str, str] | None = {} if is_loopback(settings.aws_endpoint_url_sqs or "") else None
    return boto3.client(
        "sqs",
        region_name=settings.aws_region,
        endpoint_url=settings.aws_endpoint_url_sqs,
        config=Config(
            connect_timeout=3,
            read_timeout=read_timeout,
            max_pool_connections=connections,
            retries={"mode": "standard", "max_attempts": 4},
            proxies=no_proxy,  # None: as the environment says
        ),
    )


@dataclass(frozen=True)
class Outgoing:
    """A message to send; the caller chooses `id`, and `delay_seconds` is 0 to 900."""

    id: str
    body: str
    delay_seconds: int = 0


@dataclass(frozen=True)
class Incoming:
    """A received message."""

    body: str
    receipt: str
    message_id: str


@dataclass(frozen=True)
class Queue:
    """A queue and its dead-letter queue, looked up by name."""

    client: SQSClient
    url: str
    dead_letter_url: str

    @classmethod
    def look_up(cls, client: SQSClient, name: str, *, environment: str | None = None) -> Queue:
        """Return the queue `name`; raise QueueMissingError if it or its dead-letter queue does not exist.

        With `environment`, raise QueueForeignError if a tag of one of them names another environment.
        """
        try:
            queue = cls(
                client,
                client.get_queue_url(QueueName=name)["QueueUrl"],
                client.get_queue_url(QueueName=name + DEAD_LETTER_SUFFIX)["QueueUrl"],
            )
        except client.exceptions.QueueDoesNotExist:
            raise QueueMissingError(
                f"The queue {name!r} or {name + DEAD_LETTER_SUFFIX!r} does not exist. {advice('queues')}"
            ) from None
        if environment is not None:
            for one, url in ((name, queue.url), (name + DEAD_LETTER_SUFFIX, queue.dead_letter_url)):
                _refuse_foreign(one, _environment_of(client, one, url), environment)
        return queue

    def depth(self) -> int:
        """Return the approximate number of messages that can be received now."""
        attributes = self.client.get_queue_attributes(
            QueueUrl=self.url, AttributeNames=["ApproximateNumberOfMessages"]
        )
        return int(attributes["Attributes"]["ApproximateNumberOfMessages"])

    def counts(self) -> dict[str, int]:
        """Return the approximate numbers of messages: `visible`, `in_flight`, `delayed` and `dead`."""
        attributes = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])["Attributes"]
        return {
            "visible": int(attributes["ApproximateNumberOfMessages"]),
            "in_flight": int(attributes["ApproximateNumberOfMessagesNotVisible"]),
            "delayed": int(attributes["ApproximateNumberOfMessagesDelayed"]),
            "dead": self.dead_letters(),
        }

    def dead_letters(self) -> int:
        attributes = self.client.get_queue_attributes(
            QueueUrl=self.dead_letter_url, AttributeNames=["ApproximateNumberOfMessages"]
        )
        return int(attributes["Attributes"]["ApproximateNumberOfMessages"])

    def send(self, messages: Iterable[Outgoing], *, threads: int = 16) -> Iterator[list[str]]:
        """Send in parallel batches; yield for each batch the ids that SQS confirmed.

        A batch that failed yields an empty list; the caller retries its messages.
        """
        with ThreadPoolExecutor(threads) as pool:
            yield from pool.map(self._send_batch, batched(messages, BATCH))

    def _send_batch(self, batch: Sequence[Outgoing]) -> list[str]:
        try:
            answer = self.client.send_message_batch(
                QueueUrl=self.url,
                Entries=[
                    {"Id": str(n), "MessageBody": m.body, "DelaySeconds": m.delay_seconds}
                    for n, m in enumerate(batch)
                ],
            )
        except (BotoCoreError, ClientError):
            return []
        return [batch[int(entry["Id"])].id for entry in answer.get("Successful", [])]

    def receive(self, *, most: int = BATCH, wait_seconds: int = 0) -> list[Incoming]:
        """Receive up to `most` (at most 10), waiting up to `wait_seconds` (at most 20) for the first."""
        answer = self.client.receive_message(
            QueueUrl=self.url, MaxNumberOfMessages=min(most, BATCH), WaitTimeSeconds=wait_seconds
        )
        return [_incoming(message) for message in answer.get("Messages", [])]

    def receive_many(self, most: int, *, threads: int = 8) -> list[Incoming]:
        """Receive up to `most` messages without waiting: one request, then parallel ones if it was full.

        A message that several requests received is returned once.
        """
        messages = self.receive()
        if len(messages) == BATCH and most > BATCH:
            with ThreadPoolExecutor(threads) as pool:
                for more in pool.map(lambda _: self.receive(), range(most // BATCH - 1)):
                    messages += more
        return list({message.message_id: message for message in messages}.values())

    def delete(self, messages: Sequence[Incoming], *, threads: int = 8) -> None:
        """Delete processed messages; a message that stays is received again and changes nothing."""
        if len(messages) <= BATCH:
            self._delete_batch(messages)
            return
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(self._delete_batch, batched(messages, BATCH)):
                pass

    def _delete_batch(self, batch: Sequence[Incoming]) -> None:
        if batch:
            self.client.delete_message_batch(
                QueueUrl=self.url,
                Entries=[{"Id": str(n), "ReceiptHandle": m.receipt} for n, m in enumerate(batch)],
            )

    def hide(self, message: Incoming, seconds: float) -> None:
        """Hide the message from all consumers for `seconds` from now (0 to 43,200)."""
        self.client.change_message_visibility(
            QueueUrl=self.url,
            ReceiptHandle=message.receipt,
            VisibilityTimeout=max(0, min(43_200, round(seconds))),
        )

    def dead_letter(self, message: Incoming, reason: str) -> None:
        """Move a message to the dead-letter queue, with the attribute `reason`."""
        self.client.send_message(
            QueueUrl=self.dead_letter_url,
            MessageBody=message.body,
            MessageAttributes={"reason": {"DataType": "String", "StringValue": reason[:256] or "unreadable"}},
        )
        self.delete([message])


def _incoming(message: MessageTypeDef) -> Incoming:
    return Incoming(message["Body"], message["ReceiptHandle"], message["MessageId"])


def _environment_of(client: SQSClient, name: str, url: str) -> str | None:
    """Return the environment that the queue's tags name; raise QueueForeignError if they may not be read."""
    try:
        tags = client.list_queue_tags(QueueUrl=url).get("Tags", {})
    except ClientError as error:
        if error.response["Error"]["Code"] in _NOT_ALLOWED:
            raise QueueForeignError(
                f"The tags of the queue {name!r} may not be read, so its environment is unknown. Allow "
                "sqs:ListQueueTags (deploy/terraform/policies)."
            ) from None
        raise
    return next((tags[key] for key in _ENVIRONMENT_TAGS if key in tags), None)


def _refuse_foreign(name: str, owner: str | None, environment: str) -> None:
    if owner is not None and owner != environment:
        raise QueueForeignError(
            f"The queue {name!r} belongs to the environment {owner!r}, and SEQUENCE_ENVIRONMENT is "
            f"{environment!r}. Set SENDS_QUEUE and DELIVERY_RESULTS_QUEUE to queues of this environment, or "
            f"correct the queue's tag {ENVIRONMENT_TAG}."
        )


def create_queues(client: SQSClient, settings: Settings, *, visibility_seconds: int = 180) -> None:
    """Create both queues and their dead-letter queues, tagged with the environment unless it is `local`.

    Existing queues stay unchanged. Raise QueueForeignError if one belongs to another environment, and
    QueueDiffersError, which says how to change it, if an attribute of one differs.
    """
    for name in (settings.sends_queue, settings.delivery_results_queue):
        dead_letter_url = _created(
            client,
            name + DEAD_LETTER_SUFFIX,
            {"MessageRetentionPeriod": str(DEAD_LETTER_RETENTION_SECONDS)},
            settings.sequence_environment,
        )
        arn = client.get_queue_attributes(QueueUrl=dead_letter_url, AttributeNames=["QueueArn"])
        redrive = {"deadLetterTargetArn": arn["Attributes"]["QueueArn"], "maxReceiveCount": MAX_RECEIVES}
        _created(
            client,
            name,
            {
                "VisibilityTimeout": str(visibility_seconds),
                "MessageRetentionPeriod": str(RETENTION_SECONDS),
                "RedrivePolicy": json.dumps(redrive),
            },
            settings.sequence_environment,
        )


def _created(
    client: SQSClient, name: str, attributes: dict[QueueAttributeNameType, str], environment: str
) -> str:
    """Create one queue, or check the existing one; return its URL."""
    try:
        url = client.get_queue_url(QueueName=name)["QueueUrl"]
    except client.exceptions.QueueDoesNotExist:
        tags = {} if environment == LOCAL else {ENVIRONMENT_TAG: environment}
        return client.create_queue(QueueName=name, Attributes=attributes, tags=tags)["QueueUrl"]
    _refuse_foreign(name, _environment_of(client, name, url), environment)
    found = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    differing = {
        key: wanted for key, wanted in attributes.items() if _value(found.get(key)) != _value(wanted)
    }
    if differing:
        listed = ", ".join(f"{key} is {found.get(key, 'not set')}, not {differing[key]}" for key in differing)
        command = f"aws sqs set-queue-attributes --queue-url {url} --attributes '{json.dumps(differing)}'"
        raise QueueDiffersError(
            f"The queue {name!r} exists with other attributes: {listed}. "
            f"No message is lost by a change: {command}"
        )
    return url


def _value(attribute: str | None) -> object:
    """Return an attribute as a value: two texts of the same redrive policy are equal."""
    if attribute is None or not attribute.startswith("{"):
        return attribute
    return {key: str(value) for key, value in json.loads(attribute).items()}
