"""The look at the ledger, every night: was every promise kept."""

import dagster as dg

from sequence_pipelines.assets.delivery_results import promises_kept
from sequence_pipelines.jobs import run_tags

verify_ledger = dg.define_asset_job(
    "verify_ledger",
    selection=dg.AssetSelection.checks(promises_kept),
    tags=run_tags("verify_ledger", seconds=1800, priority=-5),
    description="Checks the sends since yesterday against the promises, as `sequences verify` does. It writes nothing.",
)

verify_schedule = dg.ScheduleDefinition(
    name="verify_schedule",
    job=verify_ledger,
    cron_schedule="30 2 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every night at 02:30.",
)
