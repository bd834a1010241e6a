"""What workers reported, applied to the enrolments."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import dagster as dg
import pandas as pd

from sequence_pipelines.assets import EACH_DAY, RESULTS
from sequence_pipelines.maintenance.invariants import Invariant, Violation
from sequence_pipelines.maintenance.verify import Period, verify
from sequence_pipelines.reporting.metadata import links, table
from sequence_pipelines.resources.database import Database
from sequence_pipelines.resources.sqs import Queues
from sequence_pipelines.results.consumer import apply_without_message, consume_results
from sequence_store.settings import PipelineSettings
from sequence_store.tracing.traces import Traces

BATCH = 200  # results in one transaction: twenty receives
MOST_SECONDS = 240  # a run ends then; what is left is the next one's
MOST_EXAMPLES = 20


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
        consumed = consume_results(connection, queue, settings, traces=traces)
        without_message = apply_without_message(connection, settings, traces)
    context.log.info(
        f"{consumed.results} results; {consumed.applied.advanced} sends applied, and "
        f"{without_message.advanced} without a message."
    )
    total = consumed.applied
    total.add(without_message)
    return dg.MaterializeResult(
        metadata={
            "results": consumed.results,
            "malformed": consumed.malformed,
            "bounces_reported": consumed.feedback["bounce"],
            "complaints_reported": consumed.feedback["complaint"],
            "sends_applied": total.advanced,
            "swept_up_without_message": without_message.advanced,
            "sent": total.by_status["sent"],
            "hard_failed": total.by_status["hard_failed"],
            "unknown_settled": total.by_status["unknown"],
            "enrolments_completed": total.completed,
            "stopped_reason": consumed.stopped,
            **links(settings, "are-mails-going-out-now"),
        }
    )


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
