"""The plan: which contact gets which step, from which mailbox, at which second."""

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import pandas as pd
from pydantic import Field

from sequence_pipelines.assets import EACH_DAY, PLANNING
from sequence_pipelines.dispatch.quota_counters import set_quota_counters
from sequence_pipelines.partitions import planned_by, planning_days
from sequence_pipelines.planning.engine.windows import epoch_day
from sequence_pipelines.planning.planner import Plan, make_plan, trace_sends
from sequence_pipelines.planning.repository import KEY, PlanRepository
from sequence_pipelines.reporting import column_schemas as columns
from sequence_pipelines.reporting.charts import charts_of_day
from sequence_pipelines.reporting.metadata import counts, links, plan_numbers, plan_tables, table
from sequence_pipelines.resources.clock import Clock
from sequence_pipelines.resources.database import Database
from sequence_store.postgres.lookback import oldest_unsettled
from sequence_store.postgres.queries import query
from sequence_store.settings import PipelineSettings
from sequence_store.tracing.traces import Traces

GRACE = timedelta(hours=1)  # within which a planning day has its plan
SEEN_FIRST = (
    "planned",
    "waiting",
    "utilisation_percent",
    "waiting_by_reason",
    "sends_by_hour",
    "mailbox_use",
)
_WHAT_TO_DO = (
    "If not: the plan was rolled back and nothing of it goes out; what it would have been is an observation of this "
    "asset. Report it, and materialize the day again."
)


class PlanConfig(dg.Config):
    """How the plan is made."""

    dry_run: bool = Field(
        default=False,
        description="Plan, check and show, but write nothing: the plan appears as an observation of send_plan with all "
        "its numbers and charts, the day is not materialized, and no message is sent",
    )


def _spec(name: str, promise: str) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(name, asset="send_plan", blocking=True, description=f"{promise} {_WHAT_TO_DO}")


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
        _spec("within_limits", "No mailbox has more mails on a local day than its limit."),
        _spec("inside_windows", "Every planned mail lies inside its mailbox's send window."),
        _spec("one_mail_a_day", "No contact has two mails in a planning day."),
        _spec("gaps_kept", "No two mails of a mailbox are nearer than its minimum gap."),
        _spec("pins_kept", "Follow-ups leave from the mailbox of their first mail."),
        _spec("follow_ups_first", "No first mail took a place that a waiting follow-up could have had."),
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
    """The places that this plan gave: rows in `sends`; who waits, and why, is in `plan_deferrals`.

    It is the best plan that today's capacity allows: the most mails, the most urgent first. Made again with
    unchanged input it changes no row.

    **Before you materialize a day:** do it in the job `daily_plan`, with the assets that this one reads. Whichever
    day you choose, the plan takes everything that is due by today and uses only the time from now until the next
    daily run, within today's limits. So a missed day is mailed in what is left of today, nobody gets a second mail,
    and many days at once flood nobody. Each day tells what became of those who fell due on it. To see a plan before it is made, launch it with `ops: {send_plan: {config: {dry_run: true}}}`:
    it is shown as an observation of this asset, and nothing is written or sent.
    """
    asked = date.fromisoformat(context.partition_key)
    began = time.time_ns()
    seen: dict[str, Any] = {}

    def look(plan: Plan) -> None:
        """Judge, count and draw while Postgres takes the plan's rows."""
        _ = plan.violations
        seen.update(plan_tables(plan), **charts_of_day(plan.rows, plan.snapshot, settings.calendar.zone))

    with traces.span("plan_day", planning_day=asked):
        with database.connect() as connection:
            plan = make_plan(connection, settings, clock.read(), due_contacts, traces, look)
            repository = PlanRepository(connection, settings.address_pads)
            seen.update(
                plan_numbers(plan),
                **_day_metadata(repository, plan, asked, settings.calendar.start_of(asked)),
                **links(settings, "what-waits-and-why"),
            )
            metadata = {**{name: seen[name] for name in SEEN_FIRST}, **seen}
            written = plan.keep_or_undo(connection, dry_run=config.dry_run)
            traces.note(planned=len(plan.placed), waiting=len(plan.waiting), written=written)
        if written:
            trace_sends(traces, plan, began)
    context.log.info(
        f"{len(plan.placed)} contacts got a place in {len(mailbox_capacity)} open pieces, {len(plan.waiting)} wait."
    )
    if written:
        with database.connect() as connection:  # what is committed, and only that
            metadata["day_counters"] = set_quota_counters(connection, settings, plan.day.day)
        yield dg.Output(plan.placed, metadata=metadata)
    else:
        context.log.warning("Nothing of this plan was written: the day stays as it was.")
        tried = {"dry_run": config.dry_run, **metadata}
        context.log_event(dg.AssetObservation("send_plan", partition=context.partition_key, metadata=tried))
    for name, count in plan.violations.items():
        yield dg.AssetCheckResult(
            check_name=name, passed=count == 0, metadata={"violations": count, "dry_run": config.dry_run}
        )


def _day_metadata(repository: PlanRepository, plan: Plan, asked: date, begins: datetime) -> dict[str, Any]:
    """Tell what became of the enrolments that fell due on the day asked for.

    A mail whose outcome is unknown is told among the mails, though its contact waits for it.
    """
    became = repository.frame("report_day", since=begins, day=asked)
    waits = counts(plan.waiting[plan.waiting["due_day"] == epoch_day(asked)], "reason")
    return {
        "fell_due_on_this_day": int(became["sends"].sum()) + sum(waits.values()),
        "what_became_of_them": table(became.astype({"plan_day": str, "sends": "int64"})),
        "why_they_wait": table(
            pd.DataFrame(list(waits.items()), columns=["reason", "contacts"]).astype({"contacts": "int64"})
        ),
    }


@dg.asset_check(
    asset=send_plan,
    description="No planning day since the first is without its plan; today's is missed an hour after it began. If one "
    "is: open the job `daily_plan`, *Materialize all*, and choose the missed days. Nobody is mailed twice or "
    "late: its contacts were taken up by the next day's plan already, and whoever still waits goes out within today's "
    "limits. Dagster does not catch up by itself.",
)
def no_missed_day(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    made = context.instance.get_materialized_partitions(dg.AssetKey("send_plan"))
    *past, today = planning_days.get_partition_keys()
    begun = planning_days.time_window_for_partition_key(today).start
    days = [*past, today] if datetime.now(UTC) - begun > GRACE else past
    missed = [day for day in days if made and day > min(made) and day not in made]
    return dg.AssetCheckResult(
        passed=not missed,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"missed": len(missed), "days": dg.MetadataValue.json(missed[-50:])},
    )


@dg.asset_check(
    asset=send_plan,
    description="No send has an unknown outcome, and none waits for its advancement. If one does: "
    "`sequences sends list --status unknown`, look into the mailbox's Sent folder, then `sequences sends resolve`.",
)
def nothing_unknown(
    database: dg.ResourceParam[Database], settings: dg.ResourceParam[PipelineSettings]
) -> dg.AssetCheckResult:
    with database.connect() as connection:
        row = connection.execute(
            query("reconcile", "count_unsettled"), {"since": oldest_unsettled(connection, settings)}
        ).fetchone()
    unknown, transmitting, not_advanced = row or (0, 0, 0)
    return dg.AssetCheckResult(
        passed=unknown == 0,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"unknown": unknown, "transmitting": transmitting, "not_advanced": not_advanced},
    )
