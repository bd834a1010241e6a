"""HTTP proxy for an SQS endpoint that injects the faults which Amazon SQS may show and moto does not."""

from __future__ import annotations

import http.client
import json
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from local_stack.ports import LOOPBACK

LATE_SECONDS = 1
Answer = tuple[int, bytes]


class Fault(StrEnum):
    """A fault of a call; the guarantees of SQS standard queues allow all of them."""

    DUPLICATE = "a message is stored twice"
    RECEIVED_TWICE = "a received message stays visible for others"
    REORDERED = "messages arrive in another order, some later"
    EARLY = "a delay is ignored"
    LATE = "a message arrives seconds late"
    DELETE_LOST = "a confirmed deletion does nothing"
    THROTTLED = "a call is throttled"
    UNAVAILABLE = "a call fails with 503 and has no effect"
    ANSWER_LOST = "a call takes effect and fails with 500"
    PARTIAL_BATCH = "half a batch fails"


EVERYTHING = dict.fromkeys(Fault, 0.1)


@dataclass
class ChaoticSqs:
    """`chances` is the probability of each fault per call or message; `injected` counts the faults.

    The probabilities may be changed at any time.
    """

    upstream: str
    seed: int
    chances: dict[Fault, float] = field(default_factory=dict)
    injected: Counter[Fault] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    url: str = ""

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._lock = threading.Lock()

    def rest(self) -> None:
        """Inject no more faults."""
        self.chances = {}

    def handle(self, action: str, body: dict[str, Any], headers: dict[str, str]) -> Answer:
        with self._lock:
            self.calls[action] += 1
        if self._happens(Fault.THROTTLED):
            return 400, _error("com.amazonaws.sqs#RequestThrottled", "Rate exceeded")
        if self._happens(Fault.UNAVAILABLE):
            return 503, _error("com.amazonaws.sqs#ServiceUnavailable", "try again")
        answer = getattr(self, f"_{action}", self._pass_on)(action, body, headers)
        if answer[0] == 200 and self._happens(Fault.ANSWER_LOST):
            return 500, _error("com.amazonaws.sqs#InternalFailure", "lost")
        return answer

    def _SendMessageBatch(  # noqa: N802
        self, action: str, body: dict[str, Any], headers: dict[str, str]
    ) -> Answer:
        for entry in body["Entries"]:
            if entry.get("DelaySeconds") and self._happens(Fault.EARLY):
                entry["DelaySeconds"] = 0
            elif self._happens(Fault.LATE):
                entry["DelaySeconds"] = min(900, entry.get("DelaySeconds", 0) + LATE_SECONDS)
        answer = self._part(action, body, headers)
        again = [entry for entry in body["Entries"] if self._happens(Fault.DUPLICATE)]
        if again:
            self._pass_on(action, body | {"Entries": again}, headers)
        return answer

    def _DeleteMessageBatch(  # noqa: N802
        self, action: str, body: dict[str, Any], headers: dict[str, str]
    ) -> Answer:
        lost = [entry for entry in body["Entries"] if self._happens(Fault.DELETE_LOST)]
        kept = [entry for entry in body["Entries"] if entry not in lost]
        if not kept:
            return 200, json.dumps({"Successful": _ids(lost), "Failed": []}).encode()
        status, content = self._part(action, body | {"Entries": kept}, headers)
        if status != 200:
            return status, content
        response = json.loads(content)
        return status, json.dumps(
            response | {"Successful": response.get("Successful", []) + _ids(lost)}
        ).encode()

    def _ReceiveMessage(  # noqa: N802
        self, action: str, body: dict[str, Any], headers: dict[str, str]
    ) -> Answer:
        status, content = self._pass_on(action, body, headers)
        messages = json.loads(content).get("Messages", []) if status == 200 else []
        if not messages:
            return status, content
        if self._happens(Fault.REORDERED):
            self._random.shuffle(messages)
            for message in messages[len(messages) // 2 + 1 :]:
                self._show(body, message, headers, LATE_SECONDS)
            messages = messages[: len(messages) // 2 + 1]
        for message in messages:
            if self._happens(Fault.RECEIVED_TWICE):
                self._show(body, message, headers, 0)
        return status, json.dumps({"Messages": messages}).encode()

    def _part(self, action: str, body: dict[str, Any], headers: dict[str, str]) -> Answer:
        entries = body["Entries"]
        if len(entries) < 2 or not self._happens(Fault.PARTIAL_BATCH):
            return self._pass_on(action, body, headers)
        done, failed = entries[::2], entries[1::2]
        status, content = self._pass_on(action, body | {"Entries": done}, headers)
        refused = [{**one, "SenderFault": False, "Code": "InternalError"} for one in _ids(failed)]
        response = json.loads(content)
        return status, json.dumps(response | {"Failed": response.get("Failed", []) + refused}).encode()

    def _show(self, body: dict[str, Any], message: Any, headers: dict[str, str], seconds: int) -> None:
        visible = {
            "QueueUrl": body["QueueUrl"],
            "ReceiptHandle": message["ReceiptHandle"],
            "VisibilityTimeout": seconds,
        }
        self._pass_on("ChangeMessageVisibility", visible, headers)

    def _pass_on(self, action: str, body: dict[str, Any], headers: dict[str, str]) -> Answer:
        where = urlsplit(self.upstream)
        connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=60)
        try:
            connection.request(
                "POST", "/", json.dumps(body), headers | {"X-Amz-Target": f"AmazonSQS.{action}"}
            )
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def _happens(self, fault: Fault) -> bool:
        with self._lock:
            happens = self._random.random() < self.chances.get(fault, 0)
            self.injected[fault] += happens
        return happens


def _ids(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"Id": entry["Id"]} for entry in entries]


def _error(kind: str, message: str) -> bytes:
    return json.dumps({"__type": kind, "message": message}).encode()


@contextmanager
def chaotic_sqs(upstream: str, *, seed: int) -> Iterator[ChaoticSqs]:
    """Serve the proxy on a free port; it injects no faults until `chances` are set."""
    chaos = ChaoticSqs(upstream, seed)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            try:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            except json.JSONDecodeError:
                return  # a client that was killed
            kept = {
                name: value
                for name, value in self.headers.items()
                if name.lower() not in {"content-length", "connection", "x-amz-target"}
            }
            status, content = chaos.handle(self.headers["X-Amz-Target"].rpartition(".")[2], body, kept)
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

        def handle(self) -> None:
            with suppress(ConnectionError):  # a client that was killed
                super().handle()

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    server = Server((LOOPBACK, 0), Handler)
    chaos.url = f"http://{LOOPBACK}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield chaos
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
