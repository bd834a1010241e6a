"""Job and schedule that write the facts of the days that events changed."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from sequence_pipelines.assets.mail_facts import ONLY_CHANGED, mail_facts
from sequence_pipelines.maintenance.facts import changed_days, days_to_rewrite, mark_changed_days
from sequence_pipelines.partitions import planning_days
from sequence_pipelines.resources.database import Database
from sequence_pipelines.resources.instance.run_limits import run_tags
from sequence_store.settings import PipelineSettings

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"

write_facts = dg.define_asset_job(
    "write_facts",
    selection=dg.AssetSelection.assets(mail_facts),
    tags=run_tags("write_facts"),
    description="Writes the Parquet files of mail facts whose days changed. It can run at any time.",
)


@dg.schedule(
    name="facts_schedule",
    job=write_facts,
    cron_schedule="20 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Runs every hour if events changed a day: days of the last week every hour, of the last 35 "
    "days after midnight (UTC), all others on the first of a month.",
)
def facts_schedule(
    context: dg.ScheduleEvaluationContext,
    settings: dg.ResourceParam[PipelineSettings],
    database: dg.ResourceParam[Database],
) -> dg.RunRequest | dg.SkipReason:
    now = (context.scheduled_execution_time or datetime.now(UTC)).astimezone(UTC)
    since = days_to_rewrite(now, settings.calendar.day_of(now))
    with database.connect(autocommit=True) as connection:
        mark_changed_days(connection, settings.calendar)
        changed = {day.isoformat() for day in changed_days(connection, since)}
    keys = [key for key in planning_days.get_partition_keys(now + timedelta(days=1)) if key in changed]
    if not keys:
        return dg.SkipReason("No event has changed the facts of a day.")
    return dg.RunRequest(tags={ONLY_CHANGED: "true", RANGE_START: keys[0], RANGE_END: keys[-1]})
