"""Performance of the sequences: counts, rates, funnels and a week's curve."""

import dagster as dg
import pandas as pd

from sequence_pipelines.assets import OUTCOMES, OWNERS
from sequence_pipelines.maintenance.outcomes import read_frame
from sequence_pipelines.reporting.charts import curve_of_days, funnel
from sequence_pipelines.reporting.metadata import PREVIEW_ROWS, links, table
from sequence_pipelines.resources.clock import Clock
from sequence_pipelines.resources.database import Database
from sequence_store.domain.rates import COUNTS, MOST_ROWS, STATS_DAYS, first_of_days, last_mail_day, rates_of
from sequence_store.feed import drain_feed, remove_old_events
from sequence_store.settings import PipelineSettings

WEEK = 7  # days
FUNNELS = 5  # pictures of a few kilobytes each, which every materialization keeps
STAGES = ("mails", "opened", "clicked", "replied")


@dg.asset(
    group_name=OUTCOMES,
    owners=OWNERS,
    kinds={"postgres"},
    tags={"domain": "sequences"},
    deps=["sends", "delivery_results"],
    pool="sequence_performance",
)
def sequence_performance(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[PipelineSettings],
    database: dg.ResourceParam[Database],
    clock: Clock,
) -> dg.MaterializeResult:
    """What came of the mails of the last 30 days, by sequence. Runs every hour.

    Each mail counts on its own day, however late a reply comes. docs/outcomes.md defines the rates;
    `GET /stats` and `sequences stats` show the same numbers for other days, steps and mailboxes.

    **Metadata:** `sequences` has counts and rates, `funnel_1` and so on pictures of the five sequences
    with the most mails, `week` the rates of the last seven days. The run also removes the events of the feed
    that are older than EVENTS_KEPT_DAYS; `events_removed` counts them.
    """
    last = last_mail_day(settings.calendar.day_of(clock.read()))
    wanted = {"sequence": None, "most": MOST_ROWS, "to": last}
    with database.connect(autocommit=True) as connection:
        drain_feed(connection)
        sequences = read_frame(
            connection, "by_sequence", wanted | {"from": first_of_days(last)}, file="stats"
        )
        days = read_frame(connection, "by_day", wanted | {"from": first_of_days(last, WEEK)}, file="stats")
        removed = remove_old_events(connection, settings.events_kept_days)
    context.log.info(f"{len(sequences)} sequences have mails in the last {STATS_DAYS} days.")
    rates = [rates_of({name: int(row[name]) for name in COUNTS}) for row in sequences.to_dict("records")]
    shown = pd.concat([sequences, pd.DataFrame(rates)], axis=1) if len(sequences) else sequences
    return dg.MaterializeResult(
        metadata={
            "mails": int(sequences["mails"].sum()) if len(sequences) else 0,
            "replied": int(sequences["replied"].sum()) if len(sequences) else 0,
            "events_removed": removed,
            "sequences": table(shown.head(PREVIEW_ROWS)),
            "week": _curve(days),
            **{
                f"funnel_{n}": funnel(
                    f"sequence {row['sequence_id']}", STAGES, [int(row[name]) for name in STAGES]
                )
                for n, row in enumerate(sequences.head(FUNNELS).to_dict("records"), start=1)
            },
            **links(settings, "what-came-of-the-mails"),
        }
    )


def _curve(days: pd.DataFrame) -> dg.MarkdownMetadataValue:
    rows = days.to_dict("records")
    rates = [rates_of({name: int(row[name]) for name in COUNTS}) for row in rows]
    lines = [
        (name.replace("_", " "), [100 * (rate[name] or 0) for rate in rates])
        for name in ("opened_per_mail", "replied_per_mail", "bounced_per_attempt")
    ]
    return curve_of_days([f"{row['day']:%d %b}" for row in rows], lines)
