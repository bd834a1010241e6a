"""Job and schedule that remove old runs from Dagster's own database."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from sequence_pipelines.maintenance.due_volume import DAYS_COMPARED
from sequence_pipelines.resources.instance.run_history import remove_old_runs as remove
from sequence_pipelines.resources.instance.run_limits import run_tags
from sequence_store.settings import PipelineSettings

# The check `due_contacts_as_usual` compares the current day with these days.
READ_BY_CHECKS = {dg.AssetKey("due_contacts"): timedelta(days=DAYS_COMPARED + 7)}


@dg.op(
    description="Removes finished runs that are older than RUN_HISTORY_DAYS, with their events and logs. "
    "Keeps each run that holds the latest materialization of a day, or a history that a check reads.",
    pool="remove_old_runs",
)
def remove_runs(context: dg.OpExecutionContext, settings: dg.ResourceParam[PipelineSettings]) -> None:
    examined = removed = 0
    for batch in remove(
        context.instance,
        datetime.now(UTC),
        settings.run_history_days,
        check_keys=list(context.repository_def.asset_graph.asset_check_keys),
        read_by_checks=READ_BY_CHECKS,
    ):
        examined += batch.examined
        removed += batch.removed
        context.log.info(f"Removed {removed} of {examined} runs, up to {batch.upto:%Y-%m-%d %H:%M} UTC.")
    context.add_output_metadata({"examined": examined, "removed": removed})


@dg.job(
    tags=run_tags("remove_old_runs"),
    description="Removes old runs from Dagster's database, oldest first. The job can be stopped at any time "
    "and run again.",
)
def remove_old_runs() -> None:
    remove_runs()


run_history_schedule = dg.ScheduleDefinition(
    name="run_history_schedule",
    job=remove_old_runs,
    cron_schedule="20 1 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Runs every day at 01:20 UTC, so that Dagster's database stops growing after "
    "RUN_HISTORY_DAYS.",
)
