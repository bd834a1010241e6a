"""Sends of today: what was sent on the current planning day, at most an hour old."""

from datetime import timedelta

import dagster as dg
import pandas as pd

from sequence_pipelines.assets import OUTCOMES, OWNERS
from sequence_pipelines.maintenance.outcomes import read_frame, read_numbers
from sequence_pipelines.reporting.metadata import PREVIEW_ROWS, links, table
from sequence_pipelines.resources.clock import Clock
from sequence_pipelines.resources.database import Database
from sequence_store.feed import drain_feed
from sequence_store.settings import PipelineSettings


@dg.asset(
    group_name=OUTCOMES,
    owners=OWNERS,
    kinds={"postgres"},
    tags={"domain": "sequences"},
    deps=["step_mailing_worker", "sends"],
    pool="sends_today",
)
def sends_today(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[PipelineSettings],
    database: dg.ResourceParam[Database],
    clock: Clock,
) -> dg.MaterializeResult:
    """What was sent on the current planning day, from the view `mail_facts`. Runs every hour.

    **Metadata:** `sent`, `unknown` and `hard_failed` count the mails that finished since the planning day
    began; `replied`, `bounced` and the like what came of these mails until now. `still_to_send` counts sends
    that are planned or under way. `late_seconds_p95` is how late 95 of 100 mails at most left.
    """
    now = clock.read()
    day = settings.calendar.day_of(now)
    bounds = {"begins": settings.calendar.start_of(day), "ends": settings.calendar.end_of(day)}
    with database.connect(autocommit=True) as connection:
        drain_feed(connection)
        numbers = read_numbers(connection, "count_today", bounds)
        by_sequence = read_frame(connection, "count_today_by_sequence", bounds)
    context.log.info(f"{numbers['sent']} mails were sent on the planning day {day}.")
    return dg.MaterializeResult(
        metadata={
            "planning_day": str(day),
            "as_of": dg.MetadataValue.timestamp(now),
            "next_numbers_by": dg.MetadataValue.timestamp(now + timedelta(hours=1)),
            **numbers,
            "by_sequence": table(by_sequence.head(PREVIEW_ROWS) if len(by_sequence) else pd.DataFrame()),
            **links(settings, "what-was-sent-today"),
        }
    )
