"""What workers reported, applied to the enrolments."""

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import dagster as dg
import pandas as pd
import psycopg
from psycopg.types.json import Jsonb

from sequence_pipelines.assets import EACH_DAY, RESULTS
from sequence_pipelines.maintenance.invariants import Invariant, Violation
from sequence_pipelines.maintenance.verify import Period, verify
from sequence_pipelines.reporting.metadata import links, table
from sequence_pipelines.resources.database import Database
from sequence_pipelines.resources.sqs import Queues
from sequence_pipelines.results.advance import Applied, apply_sends, find_unapplied
from sequence_pipelines.results.ses_notifications import CertificateAwayError, Notifications, is_notification
from sequence_store.domain.messages import DeliveryResult, SendKey, parse_message
from sequence_store.errors import MalformedMessageError
from sequence_store.failpoints import Failpoint, reach
from sequence_store.postgres.lookback import lookback_start
from sequence_store.postgres.queries import query
from sequence_store.settings import PipelineSettings
from sequence_store.sqs import Incoming, Queue
from sequence_store.tracing.traces import OFF, Traces

BATCH = 200  # results in one transaction: twenty receives
PARK_SECONDS = 86_400
MOST_SECONDS = 240  # a run ends then; what is left is the next one's
MOST_EXAMPLES = 20


@dataclass
class Drained:
    """What one run took from the queue."""

    results: int = 0
    malformed: int = 0
    feedback: Counter[str] = field(default_factory=Counter)
    stopped: str = "drained"
    applied: Applied = field(default_factory=Applied)


@dg.asset(
    **EACH_DAY,
    group_name=RESULTS,
    kinds={"postgres", "sqs"},
    deps=["delivery_results_queue"],
    pool="delivery_results",
)
def delivery_results(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[PipelineSettings],
    database: dg.ResourceParam[Database],
    queues: dg.ResourceParam[Queues],
    traces: dg.ResourceParam[Traces],
) -> dg.MaterializeResult:
    """Outcomes applied to enrolments: who was mailed moves to the next step and its day.

    The message is a wake-up, the row in `sends` is the truth: applying anything twice changes nothing, and
    what finished without its message is found in the ledger.
    """
    queue = queues.delivery_results()
    with database.connect() as connection:
        drained = drain(connection, queue, settings, traces=traces)
        swept = sweep(connection, settings, traces)
    context.log.info(
        f"{drained.results} results, {drained.applied.advanced} sends applied, {swept.advanced} swept up."
    )
    total = drained.applied
    total.add(swept)
    return dg.MaterializeResult(
        metadata={
            "results": drained.results,
            "malformed": drained.malformed,
            "bounces_reported": drained.feedback["bounce"],
            "complaints_reported": drained.feedback["complaint"],
            "sends_applied": total.advanced,
            "swept_up_without_message": swept.advanced,
            "sent": total.by_status["sent"],
            "hard_failed": total.by_status["hard_failed"],
            "unknown_settled": total.by_status["unknown"],
            "enrolments_completed": total.completed,
            "stopped_reason": drained.stopped,
            **links(settings, "are-mails-going-out-now"),
        }
    )


def drain(
    connection: psycopg.Connection[tuple[object, ...]],
    queue: Queue,
    settings: PipelineSettings,
    notifications: Notifications | None = None,
    traces: Traces = OFF,
) -> Drained:
    """Receive, apply, commit, delete, until the queue is empty or the time is up."""
    drained = Drained()
    notifications = notifications or Notifications(settings.address_key.get_secret_value().encode())
    deadline = time.monotonic() + MOST_SECONDS
    while messages := queue.receive_many(BATCH):
        began = time.time_ns()
        reach(Failpoint.RESULTS_RECEIVED)
        reports, results = _sorted_out(messages)
        handled = [m for m in reports if _record(connection, queue, m, notifications, settings, drained)]
        keys = [key for message in results if (key := _key_of(queue, message, drained))]
        now = datetime.now(UTC)
        applied = apply_sends(connection, keys, now=now, unknown_settles=settings.unknown_settles)
        reach(Failpoint.RESULTS_APPLIED)
        connection.commit()
        reach(Failpoint.RESULTS_COMMITTED)
        queue.delete(results + handled)
        drained.applied.add(applied)
        traces.of_sends("result", applied.keys, began)
        drained.results += len(keys)
        if time.monotonic() > deadline:
            drained.stopped = "time is up"
            break
    return drained


def sweep(
    connection: psycopg.Connection[tuple[object, ...]],
    settings: PipelineSettings,
    traces: Traces = OFF,
    since: datetime | None = None,
) -> Applied:
    """Apply finished sends whose message is lost, and unknown ones that have settled; `since` is look_back's where None."""
    now, began = datetime.now(UTC), time.time_ns()
    since = since or lookback_start(settings)
    keys = find_unapplied(connection, since=since, now=now, unknown_settles=settings.unknown_settles)
    applied = apply_sends(connection, keys, now=now, unknown_settles=settings.unknown_settles)
    connection.commit()
    traces.of_sends("result", applied.keys, began)
    return applied


def _sorted_out(messages: list[Incoming]) -> tuple[list[Incoming], list[Incoming]]:
    """Return the providers' reports and the workers' results."""
    reports = [message for message in messages if is_notification(message.body)]
    return reports, [message for message in messages if message not in reports]


def _record(
    connection: psycopg.Connection[tuple[object, ...]],
    queue: Queue,
    message: Incoming,
    notifications: Notifications,
    settings: PipelineSettings,
    drained: Drained,
) -> bool:
    """Record a provider's report; return whether its message is done with."""
    try:
        report = notifications.read(message.body)
    except CertificateAwayError:
        return False
    except MalformedMessageError as error:
        queue.dead_letter(message, str(error))
        drained.malformed += 1
        return True
    if report:
        parameters = {
            **report.key._asdict(),
            "kind": report.kind,
            "detail": Jsonb(report.detail),
            "park_seconds": PARK_SECONDS,
            "pads": settings.address_pads,
        }
        row = connection.execute(query("results", "record_feedback"), parameters).fetchone()
        drained.feedback[report.kind] += row == ("recorded",)
    return True


def _key_of(queue: Queue, message: Incoming, drained: Drained) -> SendKey | None:
    try:
        return parse_message(DeliveryResult, message.body).key
    except MalformedMessageError as error:
        queue.dead_letter(message, str(error))
        drained.malformed += 1
        return None


@dg.asset_check(
    asset=delivery_results,
    description="Since yesterday's planning day nothing was mailed twice, lost, late, after a stop, over a limit or "
    "within a gap, and every outcome moved its contact once (docs/reliability.md). If not: `sequences verify` names "
    "the sends; stop the worker where mails go out wrong, and report it.",
)
def promises_kept(
    settings: dg.ResourceParam[PipelineSettings], database: dg.ResourceParam[Database]
) -> dg.AssetCheckResult:
    now = datetime.now(UTC)
    since = settings.calendar.day_of(now) - timedelta(days=1)
    seen: list[int] = [0]
    with database.connect() as connection:
        period = Period.from_day(since, settings, now)
        counts, examples = _counted(verify(connection, settings, period, now, seen.append))
    return dg.AssetCheckResult(
        passed=not counts,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "sends": seen[-1],
            "violations": counts.total(),
            **{f"violations_{name.value}": counts[name] for name in Invariant},
            "examples": table(pd.DataFrame(examples, columns=["invariant", "message", "key"]).astype(str)),
        },
    )


def _counted(violations: Iterable[Violation]) -> tuple[Counter[Invariant], list[Violation]]:
    counts: Counter[Invariant] = Counter()
    examples: list[Violation] = []
    for violation in violations:
        counts[violation.invariant] += 1
        if len(examples) < MOST_EXAMPLES:
            examples.append(violation)
    return counts, examples
