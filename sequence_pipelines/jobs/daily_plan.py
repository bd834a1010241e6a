"""Job and schedules of the daily plan, including its first timed messages.

A missed day is replayed by materializing its partition.
"""

import dagster as dg

from sequence_pipelines.assets.due_contacts import due_contacts
from sequence_pipelines.assets.mailbox_capacity import mailbox_capacity
from sequence_pipelines.assets.send_plan import send_plan
from sequence_pipelines.assets.sending_health import plan_is_largest
from sequence_pipelines.assets.timed_messages import timed_messages
from sequence_pipelines.jobs import current_day
from sequence_pipelines.resources.instance.run_limits import run_tags

TAGS = run_tags("daily_plan")

daily_plan = dg.define_asset_job(
    "daily_plan",
    # The proof reads everything that is due again, so the health checks make it, not the plan's run.
    selection=dg.AssetSelection.assets(due_contacts, mailbox_capacity, send_plan, timed_messages)
    - dg.AssetSelection.checks(plan_is_largest),
    tags=TAGS,
    description=(
        "Plans all due contacts into the rest of the current planning day, and publishes the first timed "
        "messages. Whichever day is materialized, a plan uses only the time from now until the next daily "
        "run, within today's limits. If it is made again with unchanged input, it changes no row."
    ),
)

daily_plan_schedule = dg.build_schedule_from_partitioned_job(
    daily_plan,
    name="daily_plan_schedule",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    tags={"dagster/priority": "30"},  # before the queued days of a backfill
    description="Plans each planning day when it starts (PLAN_AT). If Dagster was down then, the latest "
    "missed tick runs when it is back. Earlier missed days are not run: "
    "the check `no_missed_day` shows them, and a backfill replays them.",
)


@dg.schedule(
    job=daily_plan,
    cron_schedule="35 * * * *",
    name="top_up_schedule",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Plans every hour, so that a contact that is enrolled today is mailed today. Off by default.",
)
def top_up_schedule() -> dg.RunRequest:
    return dg.RunRequest(partition_key=current_day())
