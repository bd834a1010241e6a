"""Reads the feed for each webhook from its cursor, and delivers at least once.

One program sends at a time (an advisory lock of the session); others stand by. The cursor moves after the
receiver answered, so a program that is killed sends its last messages again, and none is lost. A receiver
that fails is tried again after a growing delay, and is switched off after three days. Receivers do not wait
for each other: each has its own thread while it has something to get.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.rows import dict_row

from sequence_store.errors import SecretError
from sequence_store.feed import drain_feed
from sequence_store.postgres.queries import query
from sequence_store.secrets.at_rest import SecretBox
from webhook_sender.messages import event_body, signed_headers, test_body
from webhook_sender.receivers import Answer, Receivers

log = logging.getLogger("sequences_webhooks")

EVENTS_A_TURN = 50
MOST_EXAMINED = 20_000  # positions that a turn looks at for the kinds of a webhook
THREADS = 16
FIRST_RETRY_SECONDS = 5.0
GIVE_UP_SECONDS = 3 * 86_400.0


@dataclass(frozen=True)
class Turn:
    """What a webhook is to get now: a test event, or the events of the feed up to a position."""

    webhook: dict[str, Any]
    events: list[dict[str, Any]]
    upto: int


@dataclass(frozen=True)
class Result:
    """What came of a turn: the last delivered position, and the answer that ended it."""

    position: int
    delivered: int
    answer: Answer | None


@dataclass
class Sender:
    """Delivers the feed; `turn` does one round and returns whether there may be more to do."""

    connection: psycopg.Connection[Any]
    receivers: Receivers
    secrets: SecretBox
    first_retry_seconds: float = FIRST_RETRY_SECONDS
    give_up_seconds: float = GIVE_UP_SECONDS
    stopping: Callable[[], bool] = lambda: False
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(THREADS))
    _running: dict[int, tuple[Turn, Future[Result]]] = field(default_factory=dict)

    def turn(self) -> bool:
        """Record finished turns, give events their positions, and start the turns that are due."""
        self._collect()
        drain_feed(self.connection)
        if self.stopping():
            return False
        started = False
        for webhook in self._rows("webhooks", "find_due", {}):
            if webhook["id"] not in self._running:
                self._start(webhook)
                started = True
        return started

    def finish(self) -> None:
        """Wait for the messages under way, and record what came of them."""
        self._threads.shutdown(wait=True)
        self._collect()

    @property
    def is_idle(self) -> bool:
        return not self._running

    def _start(self, webhook: dict[str, Any]) -> None:
        if webhook["is_test"]:
            turn = Turn(webhook, [], webhook["after"])
        else:
            upto = min(webhook["last_position"], webhook["after"] + MOST_EXAMINED)
            wanted = {"after": webhook["after"], "upto": upto, "kinds": webhook["kinds"]}
            events = self._rows("feed", "read_events", wanted | {"most": EVENTS_A_TURN})
            if len(events) == EVENTS_A_TURN:
                upto = events[-1]["position"]
            if not events:
                self._run("keep_delivered", id=webhook["id"], position=upto, delivered=False)
                return
            turn = Turn(webhook, events, upto)
        self._running[webhook["id"]] = turn, self._threads.submit(self._deliver, turn)

    def _deliver(self, turn: Turn) -> Result:
        """Post the events of a turn in order until one fails; runs in a thread and touches no connection."""
        webhook = turn.webhook
        try:
            secrets = [self.secrets.open(s) for s in (webhook["secret"], webhook["previous_secret"]) if s]
        except SecretError as error:
            return Result(webhook["after"], 0, Answer(delivered=False, text=f"secret: {error}"))
        if webhook["is_test"]:
            body = test_body(webhook["external_id"])
            return Result(webhook["after"], 0, self._post(webhook, "test", body, secrets))
        position, delivered = webhook["after"], 0
        for event in turn.events:
            if self.stopping():
                return Result(position, delivered, None)
            answer = self._post(webhook, str(event["position"]), event_body(event), secrets)
            if not answer.delivered:
                return Result(position, delivered, answer)
            position, delivered = event["position"], delivered + 1
        return Result(turn.upto, delivered, None)

    def _post(self, webhook: dict[str, Any], name: str, body: str, secrets: list[str]) -> Answer:
        message_id = f"msg_{webhook['external_id'].hex}_{name}"
        return self.receivers.post(webhook["url"], signed_headers(message_id, body, secrets), body.encode())

    def _collect(self) -> None:
        done = [number for number, (_, future) in self._running.items() if future.done()]
        for number in done:
            turn, future = self._running.pop(number)
            self._record(turn, _result_of(turn, future))

    def _record(self, turn: Turn, result: Result) -> None:
        number, answer = turn.webhook["id"], result.answer
        if turn.webhook["is_test"]:
            self._run("keep_test", id=number, result=answer.text if answer else "not sent")
            return
        if result.position > turn.webhook["after"]:
            self._run("keep_delivered", id=number, position=result.position, delivered=result.delivered > 0)
        if answer is not None:
            log.warning("event=failed webhook=%s reason=%r", turn.webhook["external_id"], answer.text)
            self._run("keep_failure", id=number, error=answer.text, first_seconds=self.first_retry_seconds)
            self._run("switch_off", id=number, gone=answer.gone, give_up_seconds=self.give_up_seconds)

    def _rows(self, file: str, name: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        with self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query(file, name), parameters).fetchall()

    def _run(self, name: str, **parameters: Any) -> None:
        self.connection.execute(query("webhooks", name), parameters)


def _result_of(turn: Turn, future: Future[Result]) -> Result:
    """Return the result of a turn; an unexpected error is a failure of its webhook and of no other one."""
    if (error := future.exception()) is None:
        return future.result()
    log.error("event=error webhook=%s", turn.webhook["external_id"], exc_info=error)
    return Result(turn.webhook["after"], 0, Answer(delivered=False, text=f"error: {type(error).__name__}"))
