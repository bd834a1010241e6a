"""Job and schedule that reconcile the ledger every 15 minutes."""

import dagster as dg

from sequence_pipelines.maintenance import reconcile as maintenance
from sequence_pipelines.resources.database import Database
from sequence_pipelines.resources.instance.run_limits import run_tags
from sequence_pipelines.resources.sqs import Queues
from sequence_store.settings import PipelineSettings
from sequence_store.tracing.traces import Traces


@dg.op(
    description="Plans sends again if their message or worker vanished, expires overdue sends, and marks "
    "transmissions without a reply as unknown.",
    pool="reconcile",
)
def reconcile_sends(
    context: dg.OpExecutionContext,
    settings: dg.ResourceParam[PipelineSettings],
    database: dg.ResourceParam[Database],
    queues: dg.ResourceParam[Queues],
    traces: dg.ResourceParam[Traces],
) -> None:
    with database.connect() as connection:
        found = maintenance.reconcile(connection, settings, traces)
    found["dead_letters"] = queues.sends().dead_letters() + queues.delivery_results().dead_letters()
    context.log.info(", ".join(f"{name}: {count}" for name, count in found.items()))
    context.add_output_metadata(dict(found))


@dg.job(
    tags=run_tags("reconcile"),
    description="Repairs rows of `sends`: vanished messages, dead workers, missing replies and lost results. "
    "The job can run at any time, also twice.",
)
def reconcile() -> None:
    reconcile_sends()


reconcile_schedule = dg.ScheduleDefinition(
    name="reconcile_schedule",
    job=reconcile,
    cron_schedule="*/15 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Runs every 15 minutes.",
)
