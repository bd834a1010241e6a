"""Serves a fast SQS endpoint for measurements: `quick_sqs.py PORT`.

moto reads every message of a queue for each message that it returns, so with thousands of messages a
benchmark would measure moto. This endpoint has only the calls of the product, keeps messages in a heap by the
time at which they become visible, and stores nothing on disk. `bench.CountRequests` returns how many requests
named a queue.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
import re
import sys
import time
from dataclasses import dataclass, field
from typing import Any

_numbers = itertools.count(1)
_NO_QUEUE = "AWS.SimpleQueueService.NonExistentQueue"


class NoQueueError(Exception):
    """The named queue does not exist."""


@dataclass
class Queue:
    attributes: dict[str, str] = field(default_factory=dict)
    waiting: list[tuple[float, int]] = field(default_factory=list)
    bodies: dict[int, str] = field(default_factory=dict)
    visible_at: dict[int, float] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    tags: dict[str, str] = field(default_factory=dict)
    requests: int = 0

    def hide(self, number: int, until: float) -> None:
        if number in self.bodies:
            self.visible_at[number] = until
            heapq.heappush(self.waiting, (until, number))
            self.changed.set()

    def add(self, body: str, delay: float) -> int:
        number = next(_numbers)
        self.bodies[number] = body
        self.hide(number, time.time() + delay)
        return number

    def remove(self, number: int) -> None:
        self.bodies.pop(number, None)
        self.visible_at.pop(number, None)

    def take(self, most: int) -> list[int]:
        taken: list[int] = []
        now = time.time()
        while self.waiting and len(taken) < most and self.waiting[0][0] <= now:
            until, number = heapq.heappop(self.waiting)
            if self.visible_at.get(number) == until:
                taken.append(number)
        for number in taken:
            self.hide(number, now + float(self.attributes.get("VisibilityTimeout", "30")))
        return taken


class Sqs:
    def __init__(self) -> None:
        self.queues: dict[str, Queue] = {}

    async def respond(self, action: str, body: dict[str, Any]) -> dict[str, Any]:
        name = body.get("QueueName") or body["QueueUrl"].rpartition("/")[2]
        if action == "CreateQueue":
            self.queues.setdefault(name, Queue())
        if (queue := self.queues.get(name)) is None:
            raise NoQueueError
        if action == "CountRequests":
            return {"Requests": queue.requests}
        queue.requests += 1
        handle = getattr(self, re.sub(r"(?<!^)(?=[A-Z])", "_", action).lower())
        return await handle(name, queue, body)

    async def create_queue(self, name: str, queue: Queue, body: dict[str, Any]) -> dict[str, Any]:
        queue.attributes |= body.get("Attributes", {})
        queue.tags |= body.get("tags", {})
        return {"QueueUrl": f"http://queue/{name}"}

    async def list_queue_tags(self, _name: str, queue: Queue, _body: dict[str, Any]) -> dict[str, Any]:
        return {"Tags": queue.tags}

    async def get_queue_url(self, name: str, _queue: Queue, _body: dict[str, Any]) -> dict[str, Any]:
        return {"QueueUrl": f"http://queue/{name}"}

    async def get_queue_attributes(self, name: str, queue: Queue, _body: dict[str, Any]) -> dict[str, Any]:
        return {"Attributes": {"VisibilityTimeout": "30", **queue.attributes, "QueueArn": f"arn:{name}"}}

    async def send_message_batch(self, _name: str, queue: Queue, body: dict[str, Any]) -> dict[str, Any]:
        for entry in body["Entries"]:
            queue.add(entry["MessageBody"], entry.get("DelaySeconds", 0))
        return {"Successful": [{"Id": entry["Id"]} for entry in body["Entries"]], "Failed": []}

    async def delete_message_batch(self, _name: str, queue: Queue, body: dict[str, Any]) -> dict[str, Any]:
        for entry in body["Entries"]:
            queue.remove(int(entry["ReceiptHandle"]))
        return {"Successful": [{"Id": entry["Id"]} for entry in body["Entries"]], "Failed": []}

    async def change_message_visibility(
        self, _name: str, queue: Queue, body: dict[str, Any]
    ) -> dict[str, Any]:
        queue.hide(int(body["ReceiptHandle"]), time.time() + body["VisibilityTimeout"])
        return {}

    async def change_message_visibility_batch(
        self, _n: str, queue: Queue, body: dict[str, Any]
    ) -> dict[str, Any]:
        for entry in body["Entries"]:
            queue.hide(int(entry["ReceiptHandle"]), time.time() + entry["VisibilityTimeout"])
        return {"Successful": [{"Id": entry["Id"]} for entry in body["Entries"]], "Failed": []}

    async def receive_message(self, _name: str, queue: Queue, body: dict[str, Any]) -> dict[str, Any]:
        deadline = time.time() + body.get("WaitTimeSeconds", 0)
        while not (taken := queue.take(body.get("MaxNumberOfMessages", 1))) and time.time() < deadline:
            soonest = queue.waiting[0][0] if queue.waiting else deadline
            queue.changed.clear()
            pause = max(0.001, min(deadline, soonest) - time.time())
            try:
                await asyncio.wait_for(queue.changed.wait(), pause)
            except TimeoutError:
                continue
        return {
            "Messages": [
                {"MessageId": str(n), "ReceiptHandle": str(n), "Body": queue.bodies[n]} for n in taken
            ]
        }


async def _talk(sqs: Sqs, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:] if line)
            headers = {name.lower(): value for name, value in headers.items()}
            body = json.loads(await reader.readexactly(int(headers.get("content-length", 0))) or b"{}")
            try:
                found = await sqs.respond(headers["x-amz-target"].rpartition(".")[2], body)
                status = "200 OK"
            except NoQueueError:
                found = {"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "no such queue"}
                status = f"400 Bad Request\r\nx-amzn-query-error: {_NO_QUEUE};Sender"
            response = json.dumps(found).encode()
            writer.write(f"HTTP/1.1 {status}\r\nContent-Type: application/x-amz-json-1.0\r\n".encode())
            writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(response), response))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _serve(port: int) -> None:
    sqs = Sqs()
    server = await asyncio.start_server(lambda r, w: _talk(sqs, r, w), "127.0.0.1", port, backlog=256)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
