"""Timed messages: sends that are due soon, published to the sends queue."""

from dataclasses import asdict

import dagster as dg

from sequence_pipelines.assets import DISPATCH, EACH_DAY
from sequence_pipelines.dispatch.dispatcher import dispatch
from sequence_pipelines.reporting import column_schemas as columns
from sequence_pipelines.reporting.metadata import links
from sequence_pipelines.resources.database import Database
from sequence_pipelines.resources.sqs import Queues
from sequence_store.postgres.queries import query
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
    """Messages that trigger a worker at each send's second, for sends within DISPATCH_AHEAD_SECONDS.

    SQS delays a message by at most 15 minutes, so the plan stays in `sends` and is dispatched in small parts.
    A message contains ids and times, no address and no content.

    **Metadata:** `messages` counts the messages that SQS confirmed; `not_confirmed` those that the next
    dispatch sends again; `expired` the sends that passed their latest time, `not_after`, without being
    mailed. `first` and `last` are the times of the first and the last dispatched send.
    """
    queue = queues.sends()
    with database.connect(autocommit=True) as connection:
        done = dispatch(connection, queue, settings, traces)
    if done.locked:
        context.log.info("Another run holds the dispatch lock. This run dispatches nothing.")
    if done.not_confirmed:
        context.log.warning(
            f"SQS did not confirm {done.not_confirmed} messages. The next dispatch sends them again."
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
    description="Sending is not paused. If it is: the metadata says since when and why. Plans and messages go "
    "on, and each send whose time comes is cancelled with the reason `all_paused`. `sequences resume-all` "
    "resumes sending.",
)
def sending_not_paused(database: dg.ResourceParam[Database]) -> dg.AssetCheckResult:
    with database.connect() as connection:
        pause = connection.execute(query("pauses", "read_pause")).fetchone()
    since, reason = pause or (None, None)
    return dg.AssetCheckResult(
        passed=pause is None,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"paused_since": str(since), "reason": str(reason)} if pause else {},
    )


@dg.asset_check(
    asset=timed_messages,
    description="The dead-letter queues are empty. If there is a message: read its attribute `reason`, then "
    "delete the message. It was malformed or from another environment, or it was received too often; no "
    "send depends on it.",
)
def no_dead_letters(queues: dg.ResourceParam[Queues]) -> dg.AssetCheckResult:
    counts = {
        "sends": queues.sends().dead_letters(),
        "delivery_results": queues.delivery_results().dead_letters(),
    }
    return dg.AssetCheckResult(
        passed=not any(counts.values()), severity=dg.AssetCheckSeverity.WARN, metadata=counts
    )
