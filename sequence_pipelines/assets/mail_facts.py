"""Mail facts: a Parquet file a planning day with what came of each finished mail."""

from datetime import date, timedelta

import dagster as dg
import pandas as pd

from sequence_pipelines.assets import EACH_DAY, OUTCOMES
from sequence_pipelines.maintenance.facts import (
    FactFiles,
    changed_days,
    find_differences,
    mark_changed_days,
    remove_old_files,
)
from sequence_pipelines.reporting.column_schemas import MAIL_FACTS
from sequence_pipelines.reporting.metadata import PREVIEW_ROWS, links, table
from sequence_pipelines.resources.clock import Clock
from sequence_pipelines.resources.database import Database
from sequence_store.settings import PipelineSettings

ONLY_CHANGED = "sequences/only_changed_days"  # a run's tag: it writes only the days that events changed
COMPARED = timedelta(days=35)


@dg.asset(
    **EACH_DAY,
    group_name=OUTCOMES,
    kinds={"parquet", "postgres"},
    deps=["sends", "delivery_results"],
    metadata=MAIL_FACTS,
    pool="mail_facts",
)
def mail_facts(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[PipelineSettings],
    database: dg.ResourceParam[Database],
    clock: Clock,
) -> dg.MaterializeResult:
    """What came of each mail that finished on this day: `facts/mail_facts/day=…/mail_facts.parquet`.

    The file is replaced as a whole and holds no name and no address; an erased contact is null. A day is
    written again after late events: hourly for a week, nightly for 35 days, then monthly. docs/outcomes.md
    explains the columns and has queries to copy.

    **Metadata:** `mails` counts the rows that were written, `days` the files, `removed` the files that were
    older than FACTS_KEPT_DAYS.
    """
    files = FactFiles(settings.asset_store)
    calendar = settings.calendar
    days = [date.fromisoformat(key) for key in context.partition_keys]
    oldest = calendar.day_of(clock.read()) - timedelta(days=settings.facts_kept_days)
    with database.connect(autocommit=True) as connection:
        mark_changed_days(connection, calendar)
        if context.run.tags.get(ONLY_CHANGED):
            wanted = set(changed_days(connection, min(days)))
            days = [day for day in days if day in wanted]
        written = {day: files.write(connection, day, calendar) for day in days if day >= oldest}
        removed = remove_old_files(connection, files, oldest)
    shown = pd.DataFrame({"day": [str(day) for day in written], "mails": list(written.values())})
    return dg.MaterializeResult(
        metadata={
            "mails": sum(written.values()),
            "days": len(written),
            "removed": removed,
            "written": table(shown.astype({"mails": "int64"}).tail(PREVIEW_ROWS)),
            **({"path": files.path(max(written))} if written else {}),
            **links(settings, "what-came-of-the-mails"),
        }
    )


@dg.asset_check(
    asset=mail_facts,
    description="The files of the last 35 days have the same counts as Postgres: mails by outcome, opens, "
    "clicks, replies, bounces, complaints, unsubscriptions and contacts. Days that an event changed after "
    "they were written are not compared. If one differs: materialize that day again, and report it.",
)
def facts_equal_ledger(
    settings: dg.ResourceParam[PipelineSettings], database: dg.ResourceParam[Database], clock: Clock
) -> dg.AssetCheckResult:
    since = settings.calendar.day_of(clock.read()) - COMPARED
    with database.connect(autocommit=True) as connection:
        compared, found = find_differences(
            connection, FactFiles(settings.asset_store), settings.calendar, since
        )
    shown = pd.DataFrame(found[:PREVIEW_ROWS], columns=["day", "count", "file", "ledger"]).astype(str)
    return dg.AssetCheckResult(
        passed=not found,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={"days_compared": compared, "differences": len(found), "which": table(shown)},
    )
