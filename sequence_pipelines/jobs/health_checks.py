"""Job and schedule of the checks that need no new plan: invariants, reputation, configuration, proof."""

import dagster as dg

from sequence_pipelines.assets.sending_health import plan_is_largest, sending_health
from sequence_pipelines.resources.instance.run_limits import run_tags

health_checks = dg.define_asset_job(
    "health_checks",
    selection=dg.AssetSelection.assets(sending_health) | dg.AssetSelection.checks(plan_is_largest),
    tags=run_tags("health_checks"),
    description="Runs the checks that need no new plan: the proof of the latest one, missed days, unknown "
    "outcomes, delivery invariants, bounce and complaint rates, dead letters and "
    "configuration. It changes no data of the product.",
)

health_schedule = dg.ScheduleDefinition(
    name="health_schedule",
    job=health_checks,
    cron_schedule="50 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Runs every hour, so that the checks report problems even on a day whose plan did not run.",
)
