"""Job and sensor that apply delivery results soon after workers report them."""

import dagster as dg

from sequence_pipelines.assets.delivery_results import delivery_results
from sequence_pipelines.instance.run_limits import run_tags
from sequence_pipelines.jobs import current_day, has_unfinished_run
from sequence_pipelines.resources.sqs import Queues

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
    description="Reads the depth of the queue and requests at most one run. It never receives a message, "
    "because a tick can be interrupted at any line.",
)
def delivery_results_sensor(
    context: dg.SensorEvaluationContext, queues: dg.ResourceParam[Queues]
) -> dg.RunRequest | dg.SkipReason:
    depth = queues.delivery_results().depth()
    if not depth:
        return dg.SkipReason("No delivery results are waiting.")
    if has_unfinished_run(context, "apply_delivery_results"):
        return dg.SkipReason(f"{depth} results are waiting; a run that applies them is queued or running.")
    return dg.RunRequest(partition_key=current_day(), tags={"sequences/queue_depth": str(depth)})
