"""Send forecast: plans the coming days on a copy of the data."""

import dagster as dg
from pydantic import Field

from sequence_pipelines.assets import OWNERS, PLANNING
from sequence_pipelines.planning.forecast import forecast
from sequence_pipelines.planning.repository import PlanRepository
from sequence_pipelines.planning.scenario import MOST_ADDED, MOST_DAYS, MOST_MAILS, WhatIf
from sequence_pipelines.reporting.metadata import forecast_metadata
from sequence_pipelines.resources.clock import Clock
from sequence_pipelines.resources.database import Database
from sequence_store.settings import PipelineSettings


class ForecastConfig(dg.Config):
    """Length of the forecast, and changes to try."""

    days: int = Field(
        default=14, ge=1, le=MOST_DAYS, description="Number of planning days; the first one is today"
    )
    add_mailboxes: int = Field(
        default=0, ge=0, le=MOST_ADDED, description="Mailboxes to add to every active sequence"
    )
    limit: int | None = Field(
        default=None,
        ge=0,
        le=MOST_MAILS,
        description="Daily limit to try: of the added mailboxes, or of every mailbox if none is added",
    )
    max_first_mails: int | None = Field(
        default=None,
        ge=0,
        le=MOST_MAILS,
        description="Limit of first mails per day to try, for every mailbox",
    )


@dg.asset(
    group_name=PLANNING,
    owners=OWNERS,
    kinds={"postgres", "pandas"},
    deps=[
        "sequences_contacts",
        "sequences",
        "steps",
        "contacts",
        "suppressions",
        "mailboxes",
        "sequences_mailboxes",
        "sends",
    ],
)
def send_forecast(
    context: dg.AssetExecutionContext,
    config: ForecastConfig,
    settings: dg.ResourceParam[PipelineSettings],
    database: dg.ResourceParam[Database],
    clock: Clock,
) -> dg.MaterializeResult:
    """Forecast of the coming days, computed by the planner's own code on a copy; no row is written.

    The first day is the rest of today; `already_planned` counts the mails that today has already, sent or
    not. The forecast knows the current enrolments, and assumes that no contact replies, bounces or is
    enrolled. The run configuration can try more mailboxes, another limit, or a limit of first mails.

    **Metadata:** `planned` counts the mails of all days; the table `days` and the chart `days_to_come` show
    each day, `fullest_mailboxes` the mailboxes with the least capacity left, and `what_if` the run
    configuration. `most_waiting` is the largest number of contacts that wait on one day. Of the contacts that
    wait, `wait_for_room` counts those for which a limit is reached; `not_to_be_mailed` those that wait until
    a person changes something (suppressed, stopped, inactive or with an invalid address); `wait_otherwise`
    all others, such as those who are away or whose mailbox is closed that day. `queues` shows the day on
    which each sequence has no more contacts waiting for capacity; `sequences_that_wait_to_the_end` counts the
    sequences without such a day.
    """
    what_if = WhatIf(config.add_mailboxes, config.limit, config.max_first_mails)
    days = []
    with database.connect() as connection:
        repository = PlanRepository(connection, settings.address_pads)
        for day in forecast(repository, settings, clock.read(), config.days, what_if):
            days.append(day)
            context.log.info(f"{day.day}: {day.planned} of {day.due} due contacts get a slot.")
        connection.rollback()
    return dg.MaterializeResult(metadata=forecast_metadata(days, config.model_dump()))
