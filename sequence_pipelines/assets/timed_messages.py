"""Rows of the plan that are near enough, as messages on the sends queue."""

from dataclasses import asdict

import dagster as dg

from sequence_pipelines.assets import DISPATCH, EACH_DAY
from sequence_pipelines.dispatch.dispatcher import dispatch
from sequence_pipelines.reporting import column_schemas as columns
from sequence_pipelines.reporting.metadata import links
from sequence_pipelines.resources.database import Database
from sequence_pipelines.resources.sqs import Queues
from sequence_store.settings import PipelineSettings
from sequence_store.tracing.traces import Traces


@dg.asset(
    **EACH_DAY,
    group_name=DISPATCH,
    kinds={"postgres", "sqs"},
    deps=["send_plan"],
    pool="timed_messages",
    metadata=columns.SENDS,
)
def timed_messages(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[PipelineSettings],
    database: dg.ResourceParam[Database],
    queues: dg.ResourceParam[Queues],
    traces: dg.ResourceParam[Traces],
) -> dg.MaterializeResult:
    """Messages that wake a worker at each send's second: everything planned within DISPATCH_AHEAD_SECONDS.

    SQS delays a message by 15 minutes at most, so the plan stays in `sends` and is dispatched bit by bit. A
    message holds ids and times, no address and no content.
    """
    queue = queues.sends()
    with database.connect(autocommit=True) as connection:
        done = dispatch(connection, queue, settings, traces)
    if done.locked:
        context.log.info("Another run is dispatching at this moment; this one leaves it to it.")
    if done.not_confirmed:
        context.log.warning(
            f"SQS did not confirm {done.not_confirmed} messages; the next look sends them again."
        )
    counted = {"messages": done.sent, "not_confirmed": done.not_confirmed, "expired": done.expired}
    times = {name: str(value) for name, value in asdict(done).items() if name in ("first", "last") and value}
    return dg.MaterializeResult(
        metadata={
            **counted,
            "dead_letters": queue.dead_letters(),
            **times,
            **links(settings, "are-mails-going-out-now"),
        }
    )


@dg.asset_check(
    asset=timed_messages,
    description="No message lies in a dead-letter queue. If one does: read its attribute `reason`; a malformed or "
    "foreign message is deleted there, the sends go on without it.",
)
def no_dead_letters(queues: dg.ResourceParam[Queues]) -> dg.AssetCheckResult:
    counts = {
        "sends": queues.sends().dead_letters(),
        "delivery_results": queues.delivery_results().dead_letters(),
    }
    return dg.AssetCheckResult(
        passed=not any(counts.values()), severity=dg.AssetCheckSeverity.WARN, metadata=counts
    )
