"""The state of things as metrics.

Planner, dispatcher and results run in Dagster for seconds and are gone when somebody scrapes; what they leave behind is
in the ledger, the queues and Dagster's event log. So nothing is kept here: a scrape reads them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from threading import Lock

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from sequence_cli.system_state import LedgerStatus, Orchestration, QueueState, SystemState
from sequence_store.domain.states import Deferral, SendStatus

FRESH_SECONDS = 10.0  # scrapes that come nearer together share one look
SOURCES = ("database", "queues", "api", "dagster")


METRICS = {
    "sequences_source_up": "Whether a source answered (1) or not (0)",
    "sequences_planning_day_sends": "Sends of the current planning day by status",
    "sequences_waiting_contacts": "Due contacts without a place by reason, as the latest plan left them",
    "sequences_late_sends": "Sends past their second that are not dispatched, not mailed or not advanced, or of unknown outcome",
    "sequences_oldest_late_send_age_seconds": "For how long the first of sequences_late_sends has waited; 0 where there is none",
    "sequences_active_mailboxes": "Mailboxes that may send",
    "sequences_parked_mailboxes": "Mailboxes that rest",
    "sequences_mailbox_limit_mails": "Mails that today's limits allow",
    "sequences_mailbox_used_mails": "Mails counted against today's limits",
    "sequences_worker_connections": "Connections of workers to the database",
    "sequences_queue_messages": "Messages as SQS counts them, by queue and state",
    "sequences_unhealthy_daemons": "Parts of Dagster's daemon that do not report",
    "sequences_switched_off_triggers": "Schedules and sensors that are off and should be on",
    "sequences_missed_planning_days": "Planning days since the first plan without one",
    "sequences_failed_runs": "Runs of a job that failed in the last day",
    "sequences_plan_last_success_timestamp_seconds": "When the latest plan was made",
    "sequences_plan_duration_seconds": "How long the latest plan took",
    "sequences_plan_planned_contacts": "Contacts that the latest plan gave a place",
}


class StateCollector(Collector):
    """Turns a state into metrics; `read` is called at most every FRESH_SECONDS."""

    def __init__(self, read: Callable[[], SystemState]) -> None:
        self._read = read
        self._lock = Lock()
        self._state: SystemState | None = None
        self._read_at = 0.0

    def describe(self) -> list[GaugeMetricFamily]:
        return []  # so that registering reads nothing

    def collect(self) -> Iterator[GaugeMetricFamily]:
        with self._lock:
            if self._state is None or time.monotonic() - self._read_at > FRESH_SECONDS:
                self._state, self._read_at = self._read(), time.monotonic()
            state = self._state
        asked = [
            source for source in SOURCES if source != "dagster" or state.dagster or source in state.silent
        ]
        up = {source: float(source not in state.silent) for source in asked}
        yield _labelled("sequences_source_up", "source", up)
        if state.ledger:
            yield from _of_ledger(state.ledger)
        if state.queues:
            yield _of_queues(state.queues)
        if state.dagster:
            yield from _of_dagster(state.dagster)


def _of_ledger(ledger: LedgerStatus) -> Iterator[GaugeMetricFamily]:
    late = {
        "undispatched": ledger.undispatched,
        "unsent": ledger.unsent,
        "unadvanced": ledger.unadvanced,
        "unknown": ledger.unknown,
    }
    sends = {status.value: ledger.sends.get(status, 0) for status in SendStatus}
    waiting = {reason.value: ledger.waiting.get(reason, 0) for reason in Deferral}
    yield _labelled("sequences_planning_day_sends", "status", sends)
    yield _labelled("sequences_waiting_contacts", "reason", waiting)
    yield _labelled("sequences_late_sends", "stage", {stage: one.sends for stage, one in late.items()})
    ages = {stage: one.seconds for stage, one in late.items()}
    yield _labelled("sequences_oldest_late_send_age_seconds", "stage", ages)
    yield _gauge("sequences_active_mailboxes", ledger.active_mailboxes)
    yield _gauge("sequences_parked_mailboxes", len(ledger.parked))
    yield _gauge("sequences_mailbox_limit_mails", ledger.allowed)
    yield _gauge("sequences_mailbox_used_mails", ledger.used)
    yield _gauge("sequences_worker_connections", ledger.worker_connections)


def _of_queues(queues: dict[str, QueueState]) -> GaugeMetricFamily:
    name = "sequences_queue_messages"
    family = GaugeMetricFamily(name, METRICS[name], labels=["queue", "state"])
    for queue, state in queues.items():
        for kind, messages in asdict(state).items():
            family.add_metric([queue, kind], float(messages))
    return family


def _of_dagster(dagster: Orchestration) -> Iterator[GaugeMetricFamily]:
    yield _gauge("sequences_unhealthy_daemons", len(dagster.ill_daemons))
    yield _gauge("sequences_switched_off_triggers", len(dagster.switched_off))
    yield _gauge("sequences_missed_planning_days", len(dagster.missed))
    yield _labelled("sequences_failed_runs", "job", dagster.failed_runs)
    if made := dagster.plan:
        yield _gauge("sequences_plan_last_success_timestamp_seconds", made.at.timestamp())
        yield _gauge("sequences_plan_duration_seconds", made.seconds)
        yield _gauge("sequences_plan_planned_contacts", made.numbers.get("planned", 0.0))


def _gauge(name: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, METRICS[name], value=value)


def _labelled(name: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, METRICS[name], labels=[label])
    for value, number in values.items():
        family.add_metric([value], float(number))
    return family
