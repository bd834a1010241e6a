"""Send plan: assigns each due contact its step, a mailbox and a second."""

import time
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import dagster as dg
import pandas as pd
from pydantic import Field

from sequence_pipelines.assets import EACH_DAY, PLANNING
from sequence_pipelines.dispatch.quota_counters import set_quota_counters
from sequence_pipelines.partitions import planned_by, planning_days
from sequence_pipelines.planning.planner import Plan, make_plan, trace_sends
from sequence_pipelines.planning.repository import KEY, PlanRepository
from sequence_pipelines.reporting import column_schemas as columns
from sequence_pipelines.reporting.charts import charts_of_day
from sequence_pipelines.reporting.frames import day_frame
from sequence_pipelines.reporting.metadata import (
    DaySends,
    day_outcome,
    links,
    plan_numbers,
    plan_tables,
)
from sequence_pipelines.resources.clock import Clock
from sequence_pipelines.resources.database import Database
from sequence_store.settings import PipelineSettings
from sequence_store.tracing.traces import Traces

GRACE = timedelta(hours=1)  # a planning day should have its plan this long after it begins
SHOWN_FIRST = ("planned", "sent", "waiting", "lost", "waiting_by_reason", "sends_by_hour", "mailbox_use")
_WHAT_TO_DO = (
    "If it fails: the plan was rolled back and none of its mails is sent; an observation of this asset "
    "shows it. Report the failure, and materialize the day again."
)


class PlanConfig(dg.Config):
    """Configuration of one plan."""

    dry_run: bool = Field(
        default=False,
        description="Make and check the plan, but write nothing: the plan appears as an observation of "
        "send_plan with all its numbers and charts, the day is not materialized, and no message is sent",
    )


def _blocking(name: str, rule: str) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(name, asset="send_plan", blocking=True, description=f"{rule} {_WHAT_TO_DO}")


@dg.asset(
    **EACH_DAY,
    group_name=PLANNING,
    kinds={"postgres", "pandas"},
    ins={"due_contacts": dg.AssetIn(metadata={"columns": KEY})},
    pool="send_plan",
    metadata=columns.SEND_PLAN,
    output_required=False,
    freshness_policy=dg.FreshnessPolicy.cron(
        planned_by(GRACE), lower_bound_delta=GRACE, timezone=planning_days.timezone
    ),
    check_specs=[
        _blocking("within_limits", "No mailbox has more mails on a local day than its limit."),
        _blocking("inside_windows", "Every planned mail is inside the send window of its mailbox."),
        _blocking(
            "one_mail_a_day", "No contact has two mails in a planning day or on one date of a mailbox."
        ),
        _blocking("distances_kept", "No follow-up is planned before the date from which it is due."),
        _blocking("gaps_kept", "No two mails of a mailbox are closer than its minimum gap."),
        _blocking("pins_kept", "Follow-ups are sent from the mailbox of their first mail."),
        _blocking(
            "follow_ups_first",
            "No first mail of the same or a lower priority has a slot that a waiting follow-up could use.",
        ),
    ],
)
def send_plan(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[PipelineSettings],
    database: dg.ResourceParam[Database],
    clock: Clock,
    traces: dg.ResourceParam[Traces],
    config: PlanConfig,
    due_contacts: pd.DataFrame,
    mailbox_capacity: pd.DataFrame,
) -> Iterator[dg.Output[pd.DataFrame] | dg.AssetCheckResult]:
    """Sends of each planning day: rows in `sends`. Contacts without a slot are in `plan_deferrals`.

    A send has a slot: a mailbox and a second. The plan is the best one that today's capacity allows: it sends
    the most mails, and the most urgent ones first. If it is made again with unchanged input, it changes no
    row.

    **Before you materialize a day:** use the job `daily_plan`, which also materializes the assets that this
    one reads. This asset alone fails for a day that was never read, and changes nothing. Whichever day you
    choose, the plan takes all contacts that are due by today, and uses only the time from now until the next
    daily run, within today's limits. So the contacts of a missed day are mailed in the rest of today, no
    contact gets a second mail, and a backfill of many days sends no more than one day's limits. Each day
    shows the outcome of the contacts that fell due on it. To see a plan without making it, launch the job
    with `ops: {send_plan: {config: {dry_run: true}}}`: the plan appears as an observation of this asset, and
    nothing is written or sent.

    **Metadata:** The first numbers are the day's, read from `sends`, so a repeated run shows the same:
    `planned` counts the sends that were planned on this day, whatever their state is now, except the `lost`
    ones, which were cancelled or expired; `sent` counts those that were mailed; `waiting` counts the due
    contacts without a slot, and `waiting_by_reason` explains why. For a missed day, `waiting` counts the
    contacts that fell due on it. `added_by_this_run` counts the slots that this run assigned. `released`
    counts earlier sends whose slot this plan took back, because the contact must not be mailed any more, or
    because they were not mailed in time. `advanced_before` counts finished sends whose contacts this run
    advanced to their next step first, and `enrolments_completed` the contacts that had their last step.
    `capacity_before` is the number of mails that fitted before the plan, `utilisation_percent` the share of
    today's limits that is used after it, and `plan_may_use` the time that the plan could use, on the day
    `planning_day`. `sends_by_hour` and `mailbox_use` are charts, `planned_by_mailbox` and `first_sends` show
    the first rows of the plan, `held_back` names the full mailboxes and limits for which contacts wait, from
    the most urgent ones on, and `day_counters` counts the limits that were copied to Valkey for the workers.
    `fell_due_on_this_day`, `what_became_of_them` and `why_they_wait` cover the contacts that fell due on this
    partition's day.
    `seconds_…` are the times of the phases; `seconds_release_places` is the revocation of slots.
    """
    partition_day = date.fromisoformat(context.partition_key)
    began = time.time_ns()
    shown: dict[str, Any] = {}
    violations: dict[str, int] = {}

    def report(plan: Plan) -> None:
        """Check, count and draw the plan while Postgres writes its rows; a retry replaces the results."""
        violations.update(plan.violations)
        shown.update(plan_tables(plan), **charts_of_day(plan.rows, plan.snapshot, settings.calendar.zone))

    with traces.span("plan_day", planning_day=partition_day):
        with database.connect() as connection:
            plan = make_plan(connection, settings, clock.read(), due_contacts, traces, report)
            repository = PlanRepository(connection, settings.address_pads)
            day_sends = DaySends.of(repository, plan, partition_day, settings.calendar)
            shown.update(
                day_sends.metadata(),
                **plan_numbers(plan),
                **day_outcome(repository, plan, partition_day, settings.calendar.start_of(partition_day)),
                **links(settings, "what-waits-and-why"),
            )
            metadata = {**{name: shown[name] for name in SHOWN_FIRST}, **shown}
            frame = day_frame(repository, plan, partition_day, settings.calendar)
            written = plan.keep_or_undo(connection, dry_run=config.dry_run)
            traces.note(planned=len(plan.placed), waiting=len(plan.waiting), written=written)
        if written:
            trace_sends(traces, plan, began)
    context.log.info(
        f"{len(plan.placed)} contacts got a slot in {len(mailbox_capacity)} open intervals; "
        f"{len(plan.waiting)} wait."
    )
    if written:
        with database.connect() as connection:  # a new transaction, which reads the committed plan
            metadata["day_counters"] = set_quota_counters(connection, settings, plan.day.day)
        yield dg.Output(frame, metadata=metadata)
    else:
        context.log.warning("The plan was rolled back. `sends` is unchanged, and no message is sent.")
        tried = {"dry_run": config.dry_run, **metadata}
        context.log_event(dg.AssetObservation("send_plan", partition=context.partition_key, metadata=tried))
    for name, count in violations.items():
        yield dg.AssetCheckResult(
            check_name=name, passed=count == 0, metadata={"violations": count, "dry_run": config.dry_run}
        )
