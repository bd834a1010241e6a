"""Job and schedule of the checks that need no plan: invariants, reputation, configuration, usual volume."""

import dagster as dg

from sequence_pipelines.assets.delivery_results import promises_kept
from sequence_pipelines.assets.due_contacts import sequences_can_mail
from sequence_pipelines.assets.health import due_contacts_as_usual, mailboxes_are_read, reputation
from sequence_pipelines.assets.mailbox_capacity import mailboxes_are_configured
from sequence_pipelines.assets.send_plan import no_missed_day, nothing_unknown
from sequence_pipelines.assets.timed_messages import no_dead_letters
from sequence_pipelines.jobs import run_tags

health_checks = dg.define_asset_job(
    "health_checks",
    selection=dg.AssetSelection.checks(
        no_missed_day,
        nothing_unknown,
        promises_kept,
        reputation,
        due_contacts_as_usual,
        mailboxes_are_read,
        no_dead_letters,
        sequences_can_mail,
        mailboxes_are_configured,
    ),
    tags=run_tags("health_checks", seconds=600, priority=0),
    description="Runs the checks that need no plan: missed days, unknown outcomes, delivery invariants, "
    "bounce and complaint rates, dead letters and configuration. It changes no data.",
)

health_schedule = dg.ScheduleDefinition(
    name="health_schedule",
    job=health_checks,
    cron_schedule="50 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Runs every hour, so that the checks report problems even on a day whose plan did not run.",
)
