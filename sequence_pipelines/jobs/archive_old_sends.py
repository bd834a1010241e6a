"""Job and schedule that move old sends from the ledger to the archive, which keeps their keys."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from sequence_pipelines.maintenance.archive import archive_sends
from sequence_pipelines.resources.database import Database
from sequence_pipelines.resources.instance.run_limits import run_tags
from sequence_store.settings import PipelineSettings


@dg.op(
    description="Moves sends that are older than ARCHIVE_AFTER_DAYS, and whose enrolment has ended, to "
    "`archived_sends`.",
    pool="archive",
)
def move_old_sends(
    context: dg.OpExecutionContext,
    settings: dg.ResourceParam[PipelineSettings],
    database: dg.ResourceParam[Database],
) -> None:
    before = datetime.now(UTC) - timedelta(days=settings.archive_after_days)
    examined = archived = 0
    with database.connect() as connection:
        for batch in archive_sends(connection, before):
            examined += batch.examined
            archived += batch.archived
            context.log.info(f"Moved {archived} of {examined} sends, up to {batch.upto:%Y-%m-%d %H:%M} UTC.")
    context.add_output_metadata({"examined": examined, "archived": archived})


@dg.job(
    tags=run_tags("archive_old_sends"),
    description="Moves old rows out of `sends`, in batches. The job can be stopped at any time and run "
    "again.",
)
def archive_old_sends() -> None:
    move_old_sends()


archive_schedule = dg.ScheduleDefinition(
    name="archive_schedule",
    job=archive_old_sends,
    cron_schedule="0 2 * * 0",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Runs every Sunday at 02:00. Off by default: set ARCHIVE_AFTER_DAYS to the age that you "
    "want to keep in `sends`, then switch it on.",
)
