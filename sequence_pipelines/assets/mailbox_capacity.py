"""Mailbox capacity: how many mails each mailbox can still send today."""

import dagster as dg
import pandas as pd

from sequence_pipelines.assets import EACH_DAY, PLANNING
from sequence_pipelines.planning.repository import PlanRepository
from sequence_pipelines.planning.snapshot_reader import planning_day_at, read_snapshot, read_team
from sequence_pipelines.reporting import column_schemas as columns
from sequence_pipelines.reporting.frames import with_timestamps
from sequence_pipelines.reporting.metadata import counts, fullest_intervals, links, table
from sequence_pipelines.resources.clock import Clock
from sequence_pipelines.resources.database import Database
from sequence_store.postgres.lookback import oldest_live
from sequence_store.settings import PipelineSettings


@dg.asset(
    **EACH_DAY,
    group_name=PLANNING,
    kinds={"postgres", "pandas"},
    deps=["mailboxes", "sequences_mailboxes"],
    metadata=columns.MAILBOX_CAPACITY,
)
def mailbox_capacity(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[PipelineSettings],
    database: dg.ResourceParam[Database],
    clock: Clock,
) -> dg.Output[pd.DataFrame]:
    """Mailboxes' open intervals in the rest of the planning day, and how many mails still fit in each.

    Grain: one row per mailbox and open interval; a mailbox in a time zone far from the pipeline's has two
    intervals. The numbers inform people; `send_plan` counts again while it holds
    its lock.

    **Metadata:** `capacity` counts the mails that still fit today, `used` the mails that already count
    against the limits. `mailboxes_open_today` counts the `mailboxes` that can send now or later today;
    `mailboxes_by_state` shows why a mailbox cannot: `window_closed`, `mailbox_parked` and so on. `by_mailbox`
    has the fullest intervals: `allowed` is the limit of that local day, `used` the mails that count against
    it, `placed` those of them that lie in this interval, and `capacity` the mails that still fit.
    """
    day = planning_day_at(clock.read(), settings)
    with database.connect() as connection:
        repository = PlanRepository(connection, settings.address_pads)
        since = oldest_live(connection, settings, day.begins)
        snapshot = read_snapshot(repository, day, since, read_team(repository, day))
    capacity, mailboxes = snapshot.mailbox_capacity, snapshot.mailboxes
    context.log.info(
        f"{len(mailboxes)} mailboxes can send {capacity['capacity'].sum()} more mails until {day.ends}."
    )
    return dg.Output(
        with_timestamps(snapshot.open_intervals),
        metadata={
            "mailboxes": len(mailboxes),
            "mailboxes_open_today": int((capacity["state"] == "").sum()),
            "capacity": int(capacity["capacity"].sum()),
            "used": int(capacity["load"].sum()),
            "mailboxes_by_state": table(
                pd.DataFrame(
                    [(state or "open", n) for state, n in counts(capacity, "state").items()],
                    columns=["state", "mailboxes"],
                )
            ),
            "by_mailbox": table(fullest_intervals(snapshot.open_intervals)),
            **links(settings, "how-full-are-the-mailboxes"),
        },
    )
