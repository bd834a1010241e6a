"""Delivery results: applies the outcomes that workers reported to the enrolments."""

import dagster as dg

from sequence_pipelines.assets import EACH_DAY, RESULTS
from sequence_pipelines.reporting.metadata import links
from sequence_pipelines.resources.database import Database
from sequence_pipelines.resources.sqs import Queues
from sequence_pipelines.results.consumer import apply_without_message, consume_results
from sequence_store.domain.states import FeedbackKind, SendStatus
from sequence_store.settings import PipelineSettings
from sequence_store.tracing.traces import Traces


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
    """Outcomes of sends, applied to the enrolments: a mailed contact advances to its next step and due day.

    A message of the queue only triggers the work, and the row in `sends` holds the outcome. So applying a
    result twice changes nothing, and a finished send whose message was lost is found in `sends`.

    **Metadata:** `results` counts messages of workers, `malformed` messages that were dead-lettered,
    `bounces_reported` and `complaints_reported` the reports of Amazon SES.
    `sends_applied` counts sends that advanced their enrolments; `swept_up_without_message` counts those of
    them that had no result message. `enrolments_completed` counts enrolments that had their last step.
    `sent`, `hard_failed` and `unknown_settled` split them by state; an unknown send settles, and counts as
    sent, after UNKNOWN_SETTLES seconds. `stopped_reason` is `drained` if the queue is empty, and `time is up`
    if the next run must continue.
    """
    queue = queues.delivery_results()
    with database.connect() as connection:
        consumed = consume_results(connection, queue, settings, traces=traces)
        without_message = apply_without_message(connection, settings, traces)
    context.log.info(
        f"Received {consumed.results} results. Advanced {consumed.applied.advanced} enrolments for them, and "
        f"{without_message.advanced} for finished sends without a result message."
    )
    total = consumed.applied
    total.add(without_message)
    return dg.MaterializeResult(
        metadata={
            "results": consumed.results,
            "malformed": consumed.malformed,
            "bounces_reported": consumed.feedback[FeedbackKind.BOUNCE],
            "complaints_reported": consumed.feedback[FeedbackKind.COMPLAINT],
            "sends_applied": total.advanced,
            "swept_up_without_message": without_message.advanced,
            "sent": total.by_status[SendStatus.SENT],
            "hard_failed": total.by_status[SendStatus.HARD_FAILED],
            "unknown_settled": total.by_status[SendStatus.UNKNOWN],
            "enrolments_completed": total.completed,
            "stopped_reason": consumed.stopped,
            **links(settings, "are-mails-going-out-now"),
        }
    )
