"""Job and sensor that apply delivery results soon after workers report them."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from sequence_pipelines.assets.delivery_results import delivery_results
from sequence_pipelines.jobs import current_day, has_unfinished_run
from sequence_pipelines.resources.instance.run_limits import run_tags
from sequence_pipelines.resources.sqs import Queues
from sequence_store.settings import PipelineSettings

MANY_RESULTS = 5_000  # a run applies them in seconds, and later results would wait for it
BEFORE_PLAN = timedelta(minutes=10)  # a plan then finds almost all results applied

apply_delivery_results = dg.define_asset_job(
    "apply_delivery_results",
    selection=dg.AssetSelection.assets(delivery_results).without_checks(),
    tags=run_tags("apply_delivery_results"),
    description="Receives the delivery results from the queue and advances each enrolment to its next step.",
)


@dg.sensor(
    job=apply_delivery_results,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reads the depth of the queue and requests at most one run every RESULTS_EVERY_SECONDS, "
    "earlier if 5,000 results wait or the next planning day begins within ten minutes. It never receives a "
    "message, because a tick can be interrupted at any line.",
)
def delivery_results_sensor(
    context: dg.SensorEvaluationContext,
    settings: dg.ResourceParam[PipelineSettings],
    queues: dg.ResourceParam[Queues],
) -> dg.RunRequest | dg.SkipReason:
    depth = queues.delivery_results().depth()
    if not depth:
        return dg.SkipReason("No delivery results are waiting.")
    if has_unfinished_run(context, "apply_delivery_results"):
        return dg.SkipReason(f"{depth} results are waiting; a run that applies them is queued or running.")
    now = datetime.now(UTC)
    wait_until = _last_run(context) + timedelta(seconds=settings.results_every_seconds)
    if now < wait_until and depth < MANY_RESULTS and not _plan_is_near(settings, now):
        return dg.SkipReason(
            f"{depth} results are waiting; the next run starts after {wait_until:%H:%M:%S} UTC, "
            "RESULTS_EVERY_SECONDS after the last one."
        )
    return dg.RunRequest(partition_key=current_day(), tags={"sequences/queue_depth": str(depth)})


def _last_run(context: dg.SensorEvaluationContext) -> datetime:
    """Return when the job's latest run was requested."""
    records = context.instance.get_run_records(dg.RunsFilter(job_name="apply_delivery_results"), limit=1)
    return records[0].create_timestamp.astimezone(UTC) if records else datetime.min.replace(tzinfo=UTC)


def _plan_is_near(settings: PipelineSettings, now: datetime) -> bool:
    calendar = settings.calendar
    return calendar.end_of(calendar.day_of(now)) - now < BEFORE_PLAN
