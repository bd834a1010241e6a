"""Checks that compare the current day with the last weeks."""

from collections.abc import Iterator

import dagster as dg
import pandas as pd

from sequence_pipelines.assets.delivery_results import delivery_results
from sequence_pipelines.assets.due_contacts import due_contacts
from sequence_pipelines.maintenance.due_volume import DAYS_COMPARED, judge_due_volume
from sequence_pipelines.maintenance.inbox_state import UNREAD_SECONDS, read_inbox_state
from sequence_pipelines.maintenance.reputation import (
    count_reputation_events,
    judge_bounces,
    judge_complaints,
)
from sequence_pipelines.resources.clock import Clock
from sequence_pipelines.resources.database import Database

RUNS_A_DAY = 3  # materializations of one partition that the comparison reads at most, on average


@dg.asset_check(
    asset=due_contacts,
    description="The number of due contacts is between half and twice the median of the last four weeks. If "
    "it is higher: check whether a large file was imported or a day was missed. The limits hold, so no "
    "mailbox sends too much, and the other contacts wait. If it is lower: check whether a sequence is "
    "switched off, an import failed, or the CRM stopped writing.",
)
def due_contacts_as_usual(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    key, by_day = dg.AssetKey("due_contacts"), dict[str, float]()
    for record in context.instance.fetch_materializations(key, limit=RUNS_A_DAY * DAYS_COMPARED).records:
        made = record.asset_materialization
        if made and made.partition and (due := made.metadata.get("contacts_due")):
            by_day.setdefault(made.partition, float(due.value))  # newest first: keep each day's latest run
    verdict = judge_due_volume(by_day)
    return dg.AssetCheckResult(
        passed=verdict.passed,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "contacts_due": verdict.due,
            "usual": verdict.usual,
            "days_compared": verdict.days_compared,
        },
    )


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(
            "bounce_rate",
            asset=delivery_results,
            description="Fewer than 2 % of the last week's mails bounced, and at most twice the share of "
            "the three weeks before. If more bounced: find the sequence or mailbox in `send_events` (kind "
            "`bounce`). Old lists bounce, so verify addresses before you enrol them. At 5 % a mailbox is "
            "parked automatically.",
        ),
        dg.AssetCheckSpec(
            "complaint_rate",
            asset=delivery_results,
            description="Fewer than 0.10 % of the last week's mails were reported as spam, as Gmail "
            "requires. If more were: find the sequence and pause it. At 0.30 % Gmail rejects mails: pause "
            "first mails, and mail only contacts that replied, until the rate has been low for a week.",
        ),
    ],
    name="reputation",
)
def reputation(database: dg.ResourceParam[Database], clock: Clock) -> Iterator[dg.AssetCheckResult]:
    with database.connect() as connection:
        counts = count_reputation_events(connection, clock.read())
    bounces, complaints = judge_bounces(counts), judge_complaints(counts)
    yield dg.AssetCheckResult(
        check_name="bounce_rate",
        passed=bounces.passed,
        severity=_severity(alarm=bounces.alarm),
        metadata={
            "bounces": counts.bounces,
            "mails": counts.mails,
            "bounce_percent": round(100 * bounces.rate, 3),
            "usual_percent": round(100 * bounces.usual, 3),
        },
    )
    yield dg.AssetCheckResult(
        check_name="complaint_rate",
        passed=complaints.passed,
        severity=_severity(alarm=complaints.alarm),
        metadata={
            "complaints": counts.complaints,
            "mails": counts.mails,
            "complaint_percent": round(100 * complaints.rate, 3),
        },
    )


@dg.asset_check(
    asset=delivery_results,
    description="Each mailbox with an IMAP server was read within the last hour. If one was not: check that "
    "`sequences inbox` runs and what its log says of the mailbox. A reply that is not read stops nothing, so "
    "mails go on to contacts that have answered. The metadata has the mails read by day and kind, and the lag "
    "of each folder.",
)
def mailboxes_are_read(database: dg.ResourceParam[Database], clock: Clock) -> dg.AssetCheckResult:
    with database.connect() as connection:
        reading = read_inbox_state(connection, clock.read())
    return dg.AssetCheckResult(
        passed=reading.unread_seconds <= UNREAD_SECONDS,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "mailboxes_read": reading.readable,
            "longest_unread_seconds": round(reading.unread_seconds),
            "opt_outs_to_confirm": reading.opt_outs,
            **_table("mails_by_day", reading.by_day),
            **_table("folders", reading.folders),
        },
    )


def _table(name: str, frame: pd.DataFrame) -> dict[str, dg.TableMetadataValue]:
    """Return a frame as metadata; nothing if it has no row, because Dagster cannot show it."""
    rows = frame.astype(str).to_dict("records")
    records = [dg.TableRecord({str(column): value for column, value in row.items()}) for row in rows]
    return {name: dg.MetadataValue.table(records)} if records else {}


def _severity(*, alarm: bool) -> dg.AssetCheckSeverity:
    return dg.AssetCheckSeverity.ERROR if alarm else dg.AssetCheckSeverity.WARN
