"""The days to come."""

from typing import Any

import dagster as dg
import pandas as pd
from pydantic import Field

from sequence_pipelines.assets import OWNERS, PLANNING
from sequence_pipelines.planning.forecast import (
    NOT_IN_THESE_DAYS,
    ForecastDay,
    forecast,
    summarise_mailboxes,
    summarise_sequences,
)
from sequence_pipelines.planning.repository import PlanRepository
from sequence_pipelines.planning.scenario import MOST_ADDED, MOST_DAYS, MOST_MAILS, WhatIf
from sequence_pipelines.reporting.charts import days_to_come
from sequence_pipelines.reporting.metadata import PREVIEW_ROWS, table
from sequence_pipelines.resources.clock import Clock
from sequence_pipelines.resources.database import Database
from sequence_store.settings import PipelineSettings


class ForecastConfig(dg.Config):
    """How far to look, and what to try."""

    days: int = Field(default=14, ge=1, le=MOST_DAYS, description="Planning days, today's first")
    add_mailboxes: int = Field(
        default=0, ge=0, le=MOST_ADDED, description="What if every sequence had so many more"
    )
    limit: int | None = Field(
        default=None,
        ge=0,
        le=MOST_MAILS,
        description="The added mailboxes' daily limit; without added ones, every mailbox's",
    )
    max_first_mails: int | None = Field(
        default=None,
        ge=0,
        le=MOST_MAILS,
        description="What if every mailbox began at most so many a day",
    )


@dg.asset(
    group_name=PLANNING,
    owners=OWNERS,
    kinds={"postgres", "pandas"},
    deps=["sequences_contacts", "sequences", "contacts", "mailboxes", "send_plan"],
)
def send_forecast(
    context: dg.AssetExecutionContext,
    config: ForecastConfig,
    settings: dg.ResourceParam[PipelineSettings],
    database: dg.ResourceParam[Database],
    clock: Clock,
) -> dg.MaterializeResult:
    """The days to come, planned ahead on a copy by the planner's own code; no row is written.

    Today is what is left of it: what is planned or mailed already stands in `already_planned`, and in the chart.
    It knows who is enrolled now, and assumes that nobody replies, bounces or is enrolled anew. Its config tries more
    mailboxes, another limit, or a bound of first mails.
    """
    what_if = WhatIf(config.add_mailboxes, config.limit, config.max_first_mails)
    told = []
    with database.connect() as connection:
        repository = PlanRepository(connection, settings.address_pads)
        for day in forecast(repository, settings, clock.read(), config.days, what_if):
            told.append(day)
            context.log.info(f"{day.day}: {day.planned} of {day.due} due contacts get a place.")
        connection.rollback()
    return dg.MaterializeResult(metadata=describe(told, config))


def describe(told: list[ForecastDay], config: ForecastConfig) -> dict[str, Any]:
    """Return a forecast as metadata: its numbers, tables and chart, and what it was asked."""
    days = _days(told)
    sequences = summarise_sequences(told).sort_values("most_waiting", ascending=False)
    empty = sequences["queue_empty_on"]
    return {
        "planned": int(days["planned"].sum()),
        "most_waiting": int(days["waiting"].max()),
        "sequences_that_wait_to_the_end": int(empty.isna().sum()),
        "days": table(days),
        "days_to_come": days_to_come(
            [f"{d.day:%d %b}" for d in told],
            (days["already_planned"] + days["planned"]).to_numpy(),
            days["waiting"].to_numpy(),
        ),
        "fullest_mailboxes": table(summarise_mailboxes(told).head(PREVIEW_ROWS)),
        "queues": table(
            sequences.assign(queue_empty_on=empty.where(empty.notna(), NOT_IN_THESE_DAYS)).head(PREVIEW_ROWS)
        ),
        "what_if": dg.MetadataValue.json(config.model_dump()),
    }


def _days(told: list[ForecastDay]) -> pd.DataFrame:
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
                "wait_for_room": d.wait_for_room,
                "wait_otherwise": d.wait_otherwise,
                "not_to_be_mailed": d.not_to_be_mailed,
                "use_percent": round(100 * d.utilisation),
            }
            for d in told
        ]
    )
