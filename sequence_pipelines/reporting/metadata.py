"""Metadata that answers an engineer's questions without a query: counts and ids, no name and no address."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pandas as pd

from sequence_pipelines.planning.engine.windows import from_epoch_day
from sequence_pipelines.planning.planner import Plan
from sequence_store.settings import PipelineSettings

PREVIEW_ROWS = 20


def table(frame: pd.DataFrame) -> dg.TableMetadataValue:
    """Return a frame as a table that may be empty; cells are plain text and numbers."""
    kinds = {name: "int" if pd.api.types.is_integer_dtype(frame[name]) else "string" for name in frame}
    records = [
        dg.TableRecord({str(n): int(v) if kinds[n] == "int" else str(v) for n, v in row.items()})
        for row in frame.to_dict("records")
    ]
    schema = dg.TableSchema([dg.TableColumn(str(name), kind) for name, kind in kinds.items()])
    return dg.MetadataValue.table(records, schema)


def links(settings: PipelineSettings, question: str) -> dict[str, dg.MetadataValue[Any]]:
    """Return where to go from here: the Sequence API, and the runbook's answer to `question` (a heading's anchor)."""
    page = f"{settings.runbook_url}#{question}"
    known = settings.runbook_url.startswith("http")
    return {
        "api": dg.MetadataValue.url(f"{settings.api_url}/docs"),
        "runbook": dg.MetadataValue.url(page) if known else dg.MetadataValue.path(page),
    }


def counts(frame: pd.DataFrame, column: str) -> dict[str, int]:
    return {str(key): int(value) for key, value in frame[column].value_counts().items()}


def mailboxes_of(open_intervals: pd.DataFrame) -> pd.DataFrame:
    """Return the day's open pieces in words, the fullest first."""
    columns = ["mailbox_id", "send_day", "allowed", "used", "placed", "capacity"]
    share = open_intervals["used"] / open_intervals["allowed"].clip(lower=1)
    shown = open_intervals.assign(share=share).sort_values(["share", "mailbox_id"], ascending=[False, True])[
        columns
    ]
    shown = shown.head(PREVIEW_ROWS)
    return shown.assign(send_day=[str(from_epoch_day(day)) for day in shown["send_day"]])


def plan_tables(plan: Plan) -> dict[str, dg.TableMetadataValue]:
    """Return what a plan is to be looked at for, known before it is written."""
    placed = plan.placed.groupby("mailbox_id").size().rename("planned").reset_index()
    preview = plan.placed.loc[plan.placed["send_at"].nsmallest(PREVIEW_ROWS).index]
    return {
        "waiting_by_reason": table(_counted(plan.waiting, "reason", "contacts")),
        "planned_by_mailbox": table(placed.sort_values("planned", ascending=False).head(PREVIEW_ROWS)),
        "first_sends": table(
            preview[["sequence_id", "contact_id", "step_id", "mailbox_id"]].assign(
                send_at=pd.to_datetime(preview["send_at"], unit="s", utc=True).dt.strftime(
                    "%Y-%m-%d %H:%M:%S UTC"
                )
            )
        ),
    }


def plan_numbers(plan: Plan) -> dict[str, Any]:
    """Return what a plan did: numbers under the same keys every day, so that Dagster plots them."""
    mailbox_capacity = int(plan.snapshot.open_intervals["capacity"].sum())
    return {
        "planned": len(plan.placed),
        "waiting": len(plan.waiting),
        "released": plan.revoked,
        "advanced_before": plan.applied.advanced,
        "enrolments_completed": plan.completed + plan.applied.completed,
        "capacity_before": mailbox_capacity,
        "utilisation_percent": round(100 * len(plan.placed) / mailbox_capacity, 1)
        if mailbox_capacity
        else 0.0,
        "planning_day": plan.day.day.isoformat(),
        "plan_may_use": f"{plan.day.now.isoformat()} to {plan.day.ends.isoformat()}",
        **{f"seconds_{phase.replace(' ', '_')}": round(spent, 3) for phase, spent in plan.seconds.items()},
    }


def _counted(frame: pd.DataFrame, column: str, name: str) -> pd.DataFrame:
    found = counts(frame, column) if len(frame) else {}
    return pd.DataFrame({column: list(found), name: list(found.values())}).astype({name: "int64"})
