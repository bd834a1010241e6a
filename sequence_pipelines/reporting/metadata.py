"""Builds the metadata that the Dagster UI shows: counts and ids, without names and addresses."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, NamedTuple

import dagster as dg
import pandas as pd

from sequence_pipelines.planning.engine.proof import Cut, accumulate, describe_class
from sequence_pipelines.planning.engine.windows import epoch_day, from_epoch_day
from sequence_pipelines.planning.forecast import (
    NOT_IN_THESE_DAYS,
    ForecastDay,
    summarise_mailboxes,
    summarise_sequences,
)
from sequence_pipelines.planning.planner import Plan
from sequence_pipelines.planning.repository import PlanRepository
from sequence_pipelines.reporting.charts import days_to_come
from sequence_store.domain.explanations import explain
from sequence_store.domain.planning_day import PlanningCalendar
from sequence_store.domain.states import LIVE, REUSABLE, SPENT, SendStatus
from sequence_store.settings import PipelineSettings

PREVIEW_ROWS = 20


def table(frame: pd.DataFrame) -> dg.TableMetadataValue:
    """Return a frame, which may be empty, as a table; cells are plain text and numbers."""
    kinds = {name: "int" if pd.api.types.is_integer_dtype(frame[name]) else "string" for name in frame}
    records = [
        dg.TableRecord({str(n): int(v) if kinds[n] == "int" else str(v) for n, v in row.items()})
        for row in frame.to_dict("records")
    ]
    schema = dg.TableSchema([dg.TableColumn(str(name), kind) for name, kind in kinds.items()])
    return dg.MetadataValue.table(records, schema)


def links(settings: PipelineSettings, question: str) -> dict[str, dg.MetadataValue[Any]]:
    """Return links to the Sequence API and to the runbook's section `question` (the anchor of a heading)."""
    page = f"{settings.runbook}#{question}"
    is_url = settings.runbook.startswith("http")
    return {
        "api": dg.MetadataValue.url(f"{settings.api_link}/docs"),
        "runbook": dg.MetadataValue.url(page) if is_url else dg.MetadataValue.path(page),
    }


def counts(frame: pd.DataFrame, column: str) -> dict[str, int]:
    """Count the rows by the values of a column, the most frequent value first."""
    return {str(key): int(value) for key, value in frame[column].value_counts().items()}


def reasons_table(waiting: pd.DataFrame) -> dg.TableMetadataValue:
    """Return the contacts by `reason`, each with the explanation that `sequences why` shows."""
    found = {reason: contacts for reason, contacts in counts(waiting, "reason").items() if contacts}
    frame = pd.DataFrame(
        {
            "reason": list(found),
            "contacts": list(found.values()),
            "explanation": [explain(reason) for reason in found],
        }
    )
    return table(frame.astype({"contacts": "int64"}))


def fullest_intervals(open_intervals: pd.DataFrame) -> pd.DataFrame:
    """Return the PREVIEW_ROWS open intervals with the largest used share of their limit; dates as text."""
    columns = ["mailbox_id", "send_day", "allowed", "used", "placed", "capacity"]
    share = open_intervals["used"] / open_intervals["allowed"].clip(lower=1)
    fullest = open_intervals.assign(share=share).sort_values(["share", "mailbox_id"], ascending=[False, True])
    shown = fullest[columns].head(PREVIEW_ROWS)
    return shown.assign(send_day=[str(from_epoch_day(day)) for day in shown["send_day"]])


def plan_tables(plan: Plan) -> dict[str, dg.TableMetadataValue]:
    """Return the tables of a plan; they need no row to be written."""
    placed = plan.placed.groupby("mailbox_id").size().rename("planned").reset_index()
    preview = plan.placed.loc[plan.placed["send_at"].nsmallest(PREVIEW_ROWS).index]
    return {
        "held_back": table(held_back(plan.cuts)),
        "planned_by_mailbox": table(placed.sort_values("planned", ascending=False).head(PREVIEW_ROWS)),
        "first_sends": table(
            preview[["sequence_id", "contact_id", "step_id", "mailbox_id"]].assign(
                send_at=pd.to_datetime(preview["send_at"], unit="s", utc=True).dt.strftime(
                    "%Y-%m-%d %H:%M:%S UTC"
                )
            )
        ),
    }


class DaySends(NamedTuple):
    """The sends of a planning day by status, as the ledger has them, and the contacts that wait."""

    by_status: Mapping[str, int]
    waiting: pd.DataFrame

    @classmethod
    def of(cls, repository: PlanRepository, plan: Plan, day: date, calendar: PlanningCalendar) -> DaySends:
        """Count the sends of planning day `day`; the transaction has the plan's rows already."""
        begins, ends = calendar.start_of(day), calendar.end_of(day)
        own = day == plan.day.day
        if own and not plan.adds_to_day:
            by_status: dict[str, int] = {SendStatus.PLANNED: len(plan.placed)}  # this plan wrote all of them
        else:
            by_status = repository.count_day(day, begins, ends)
        waiting = plan.waiting if own else plan.waiting[plan.waiting["due_day"] == epoch_day(day)]
        return cls(by_status, waiting)

    def count(self, *statuses: str) -> int:
        return sum(self.by_status.get(status, 0) for status in statuses)

    def metadata(self) -> dict[str, Any]:
        """Return what a day's page shows first; a repeated run does not change it."""
        return {
            "planned": self.count(*LIVE, *SPENT),
            "sent": self.count(SendStatus.SENT),
            "waiting": len(self.waiting),
            "lost": self.count(*REUSABLE),
            "waiting_by_reason": reasons_table(self.waiting),
        }


def held_back(cuts: list[Cut]) -> pd.DataFrame:
    """Return by class the contacts that wait, the bound, and the full mailboxes and limits that set it."""
    rows = [
        {
            "class": describe_class(cut),
            "waiting": cut.waiting,
            "served": cut.served,
            "at_most": cut.bound,
            "full_mailboxes": _some(sorted({box for box, _ in full.intervals})),
            "max_first_mails": _some(list(full.mailboxes)),
            "max_new_per_day": _some(list(full.sequences)),
        }
        for cut, full in accumulate(cuts[:PREVIEW_ROWS])
    ]
    names = ["class", "waiting", "served", "at_most", "full_mailboxes", "max_first_mails", "max_new_per_day"]
    return pd.DataFrame(rows, columns=names).astype(dict.fromkeys(names[1:4], "int64"))


def _some(ids: list[int]) -> str:
    return ", ".join(map(str, ids[:PREVIEW_ROWS])) + (", …" if len(ids) > PREVIEW_ROWS else "")


def plan_numbers(plan: Plan) -> dict[str, Any]:
    """Return the numbers of a plan, under the same keys every day, so that Dagster plots them."""
    capacity = int(plan.snapshot.open_intervals["capacity"].sum())
    return {
        "added_by_this_run": len(plan.placed),
        "released": plan.revoked,
        "advanced_before": plan.applied.advanced,
        "enrolments_completed": plan.completed + plan.applied.completed,
        "capacity_before": capacity,
        "utilisation_percent": _utilisation(plan),
        "planning_day": plan.day.day.isoformat(),
        "plan_may_use": f"{plan.day.now.isoformat()} to {plan.day.ends.isoformat()}",
        **{f"seconds_{phase.replace(' ', '_')}": round(spent, 3) for phase, spent in plan.seconds.items()},
    }


def _utilisation(plan: Plan) -> float:
    """Return how much of the planning day's limits is used once the plan is written, in percent."""
    snapshot = plan.snapshot
    used = int(snapshot.mailbox_capacity["load"].sum()) + len(plan.placed)
    allowed = int(snapshot.mailbox_capacity["load"].sum() + snapshot.mailbox_capacity["capacity"].sum())
    return round(100 * used / allowed, 1) if allowed else 0.0


def day_outcome(repository: PlanRepository, plan: Plan, day: date, begins: datetime) -> dict[str, Any]:
    """Return the outcome of the enrolments that fell due on planning day `day`, which began at `begins`.

    A contact that waits because its mail's outcome is unknown counts among the mails, not among those that
    wait.
    """
    sends = repository.frame("report_day", since=begins, day=day)
    waiting = plan.waiting[plan.waiting["due_day"] == epoch_day(day)]
    return {
        "fell_due_on_this_day": int(sends["sends"].sum()) + len(waiting),
        "what_became_of_them": table(sends.astype({"plan_day": str, "sends": "int64"})),
        "why_they_wait": reasons_table(waiting),
    }


def forecast_metadata(days: list[ForecastDay], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a forecast's numbers, tables and chart, and the configuration that it was made with."""
    numbers = _numbers_by_day(days)
    sequences = summarise_sequences(days).sort_values("most_waiting", ascending=False)
    empty = sequences["queue_empty_on"]
    return {
        "planned": int(numbers["planned"].sum()),
        "most_waiting": int(numbers["waiting"].max()),
        "sequences_that_wait_to_the_end": int(empty.isna().sum()),
        "days": table(numbers),
        "days_to_come": days_to_come(
            [f"{day.day:%d %b}" for day in days],
            (numbers["already_planned"] + numbers["planned"]).to_numpy(),
            numbers["waiting"].to_numpy(),
        ),
        "fullest_mailboxes": table(summarise_mailboxes(days).head(PREVIEW_ROWS)),
        "queues": table(
            sequences.assign(queue_empty_on=empty.where(empty.notna(), NOT_IN_THESE_DAYS)).head(PREVIEW_ROWS)
        ),
        "what_if": dg.MetadataValue.json(dict(config)),
    }


def _numbers_by_day(days: list[ForecastDay]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "day": str(d.day),
                "already_planned": d.already_planned,
                "due": d.due,
                "planned": d.planned,
                "follow_ups": d.follow_ups,
                "first_mails": d.first_mails,
                "waiting": d.due - d.planned,
                "wait_for_room": d.wait_for_capacity,
                "wait_otherwise": d.wait_otherwise,
                "not_to_be_mailed": d.not_to_be_mailed,
                "use_percent": round(100 * d.utilisation),
            }
            for d in days
        ]
    )
