"""Exposes the system state as Prometheus metrics.

Planner, dispatcher and results consumer run in Dagster for a few seconds at a time, so Prometheus cannot
scrape them. Each scrape instead reads what they left in the ledger, the queues and Dagster's event log.
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

FRESH_SECONDS = 10.0  # scrapes within this time share one read
SOURCES = ("database", "queues", "api", "dagster")


METRICS = {
    "sequences_source_up": "Whether a source responded (1) or not (0)",
    "sequences_planning_day_sends": "Sends of the current planning day by status",
    "sequences_waiting_contacts": "Due contacts that the latest plan deferred, by reason",
    "sequences_late_sends": (
        "Sends past their send time that are not dispatched, not mailed or not advanced, "
        "or have an unknown outcome"
    ),
    "sequences_oldest_late_send_age_seconds": (
        "Age of the oldest send in sequences_late_sends, in seconds; 0 if there is none"
    ),
    "sequences_active_mailboxes": "Mailboxes that may send",
    "sequences_parked_mailboxes": "Mailboxes that are parked",
    "sequences_all_paused": "Whether all sending is paused (1) or not (0)",
    "sequences_unconfirmed_opt_outs": "Opt-outs that wait for a person's confirmation",
    "sequences_inbox_unread_seconds": (
        "Seconds since the mailbox was read that was read longest ago; 0 if no mailbox is read"
    ),
    "sequences_mailbox_limit_mails": "Sum of today's mailbox limits",
    "sequences_mailbox_used_mails": "Mails counted against today's limits",
    "sequences_worker_connections": "Database connections of workers",
    "sequences_outcomes": "What came of the mails of the last seven days, by the day of the mail",
    "sequences_feed_waiting_events": "Events that have no position in the feed yet",
    "sequences_feed_waiting_seconds": "Age of the oldest event that has no position, in seconds",
    "sequences_failing_webhooks": "Webhooks that fail or were switched off",
    "sequences_check_passed": "Whether the latest result of an asset check is a pass (1) or not (0)",
    "sequences_queue_messages": "Messages as SQS counts them, by queue and state",
    "sequences_unhealthy_daemons": "Required Dagster daemons without a heartbeat",
    "sequences_switched_off_triggers": "Schedules and sensors that are stopped but run by default",
    "sequences_missed_planning_days": "Planning days without a plan since the first plan",
    "sequences_failed_runs": "Failed runs of the last 24 hours by job",
    "sequences_plan_last_success_timestamp_seconds": "Time of the latest plan",
    "sequences_plan_duration_seconds": "Duration of the latest plan",
    "sequences_plan_planned_contacts": "Contacts that the latest plan assigned a send",
}


class StateCollector(Collector):
    """Turns a SystemState into metrics; calls `read` at most once in FRESH_SECONDS."""

    def __init__(self, read: Callable[[], SystemState]) -> None:
        self._read = read
        self._lock = Lock()
        self._state: SystemState | None = None
        self._read_at = 0.0

    def describe(self) -> list[GaugeMetricFamily]:
        return []  # registration must not read the sources

    def collect(self) -> Iterator[GaugeMetricFamily]:
        with self._lock:
            if self._state is None or time.monotonic() - self._read_at > FRESH_SECONDS:
                self._state, self._read_at = self._read(), time.monotonic()
            state = self._state
        queried = [
            source for source in SOURCES if source != "dagster" or state.dagster or source in state.silent
        ]
        up = {source: float(source not in state.silent) for source in queried}
        yield _labelled("sequences_source_up", "source", up)
        if state.ledger:
            yield from _ledger_metrics(state.ledger)
        if state.queues:
            yield _queue_metrics(state.queues)
        if state.dagster:
            yield from _dagster_metrics(state.dagster)


def _ledger_metrics(ledger_status: LedgerStatus) -> Iterator[GaugeMetricFamily]:
    late = {
        "undispatched": ledger_status.undispatched,
        "unsent": ledger_status.unsent,
        "unadvanced": ledger_status.unadvanced,
        "unknown": ledger_status.unknown,
    }
    sends = {status.value: ledger_status.sends.get(status, 0) for status in SendStatus}
    waiting = {reason.value: ledger_status.waiting.get(reason, 0) for reason in Deferral}
    yield _labelled("sequences_planning_day_sends", "status", sends)
    yield _labelled("sequences_waiting_contacts", "reason", waiting)
    yield _labelled("sequences_late_sends", "stage", {stage: one.sends for stage, one in late.items()})
    ages = {stage: one.seconds for stage, one in late.items()}
    yield _labelled("sequences_oldest_late_send_age_seconds", "stage", ages)
    yield _gauge("sequences_active_mailboxes", ledger_status.active_mailboxes)
    yield _gauge("sequences_parked_mailboxes", len(ledger_status.parked))
    yield _gauge("sequences_all_paused", float(ledger_status.paused is not None))
    yield _gauge("sequences_unconfirmed_opt_outs", ledger_status.opt_outs)
    yield _gauge("sequences_inbox_unread_seconds", ledger_status.unread_seconds)
    yield _gauge("sequences_mailbox_limit_mails", ledger_status.allowed)
    yield _gauge("sequences_mailbox_used_mails", ledger_status.used)
    yield _gauge("sequences_worker_connections", ledger_status.worker_connections)
    yield _labelled("sequences_outcomes", "outcome", ledger_status.outcomes)
    yield _gauge("sequences_feed_waiting_events", ledger_status.feed_waiting)
    yield _gauge("sequences_feed_waiting_seconds", ledger_status.feed_waiting_seconds)
    yield _gauge("sequences_failing_webhooks", ledger_status.failing_webhooks)
    yield _check_metrics(ledger_status)


def _check_metrics(ledger_status: LedgerStatus) -> GaugeMetricFamily:
    name = "sequences_check_passed"
    family = GaugeMetricFamily(name, METRICS[name], labels=["asset", "check"])
    for key, passed in ledger_status.checks.items():
        family.add_metric(list(key), float(passed))
    return family


def _queue_metrics(queues: dict[str, QueueState]) -> GaugeMetricFamily:
    name = "sequences_queue_messages"
    family = GaugeMetricFamily(name, METRICS[name], labels=["queue", "state"])
    for queue, state in queues.items():
        for kind, messages in asdict(state).items():
            family.add_metric([queue, kind], float(messages))
    return family


def _dagster_metrics(dagster: Orchestration) -> Iterator[GaugeMetricFamily]:
    yield _gauge("sequences_unhealthy_daemons", len(dagster.ill_daemons))
    yield _gauge("sequences_switched_off_triggers", len(dagster.switched_off))
    yield _gauge("sequences_missed_planning_days", len(dagster.missed))
    yield _labelled("sequences_failed_runs", "job", dagster.failed_runs)
    if plan := dagster.plan:
        yield _gauge("sequences_plan_last_success_timestamp_seconds", plan.at.timestamp())
        yield _gauge("sequences_plan_duration_seconds", plan.seconds)
        yield _gauge("sequences_plan_planned_contacts", plan.numbers.get("planned", 0.0))


def _gauge(name: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, METRICS[name], value=value)


def _labelled(name: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, METRICS[name], labels=[label])
    for value, number in values.items():
        family.add_metric([value], float(number))
    return family
