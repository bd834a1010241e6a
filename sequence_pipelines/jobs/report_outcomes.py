"""Job and schedule that report today's sends and what came of the mails."""

import dagster as dg

from sequence_pipelines.assets.sends_today import sends_today
from sequence_pipelines.assets.sequence_performance import sequence_performance
from sequence_pipelines.resources.instance.run_limits import run_tags

report_outcomes = dg.define_asset_job(
    "report_outcomes",
    selection=dg.AssetSelection.assets(sends_today, sequence_performance),
    tags=run_tags("report_outcomes"),
    description="Reports today's sends and the performance of the sequences. It changes no data of the "
    "product, except that events that are too old are removed from the feed.",
)

outcomes_schedule = dg.ScheduleDefinition(
    name="outcomes_schedule",
    job=report_outcomes,
    cron_schedule="10 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Runs every hour, so that today's numbers are at most an hour old.",
)
