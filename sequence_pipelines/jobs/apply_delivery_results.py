"""Workers' outcomes, applied soon after they are reported."""

import dagster as dg

from sequence_pipelines.assets.delivery_results import delivery_results
from sequence_pipelines.jobs import current_day, run_tags, under_way
from sequence_pipelines.resources.sqs import Queues

MOST_SECONDS = 600

apply_delivery_results = dg.define_asset_job(
    "apply_delivery_results",
    selection=dg.AssetSelection.assets(delivery_results).without_checks(),
    tags=run_tags("apply_delivery_results", seconds=MOST_SECONDS, priority=15),
    description="Takes the delivery results from the queue and moves each contact to its next step.",
)


@dg.sensor(
    job=apply_delivery_results,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Looks at the queue's depth and asks for one run; it never receives a message, since a tick can die.",
)
def delivery_results_sensor(
    context: dg.SensorEvaluationContext, queues: dg.ResourceParam[Queues]
) -> dg.RunRequest | dg.SkipReason:
    depth = queues.delivery_results().depth()
    if not depth:
        return dg.SkipReason("No delivery results are waiting.")
    if under_way(context, "apply_delivery_results", MOST_SECONDS):
        return dg.SkipReason(f"{depth} results are waiting; a run that applies them is queued or running.")
    return dg.RunRequest(partition_key=current_day(), tags={"sequences/queue_depth": str(depth)})
