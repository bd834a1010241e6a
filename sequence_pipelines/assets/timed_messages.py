"""Timed messages: sends that are due soon, published to the sends queue."""

from dataclasses import asdict

import dagster as dg

from sequence_pipelines.assets import DISPATCH, EACH_DAY
from sequence_pipelines.dispatch.dispatcher import dispatch
from sequence_pipelines.reporting.metadata import links
from sequence_pipelines.resources.database import Database
from sequence_pipelines.resources.sqs import Queues
from sequence_store.settings import PipelineSettings
from sequence_store.tracing.traces import Traces


@dg.asset(
    **EACH_DAY,
    group_name=DISPATCH,
    kinds={"postgres", "sqs"},
    deps=["send_plan", "sends"],
    pool="timed_messages",
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
    mailed. `dead_letters` counts the messages that workers could not process. `first` and `last` are the
    times of the first and the last dispatched send.
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
