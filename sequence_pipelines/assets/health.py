"""Checks of a day as it goes: what is unlike the last weeks."""

import statistics
from collections.abc import Iterator
from datetime import timedelta

import dagster as dg

from sequence_pipelines.assets.delivery_results import delivery_results
from sequence_pipelines.assets.due_contacts import due_contacts
from sequence_pipelines.resources.clock import Clock
from sequence_pipelines.resources.database import Database
from sequence_store.postgres.queries import query

USUAL_DAYS = 28
LEAST_DIFFERENCE = 50  # contacts; a small day's doubling is no news
BOUNCES_WARN, BOUNCES_ALARM = 0.02, 0.05  # at 5 % a mailbox is parked
LEAST_BOUNCES = 5
COMPLAINTS_WARN, COMPLAINTS_ALARM = 0.001, 0.003  # Gmail: stay below 0.10 %, never reach 0.30 %


@dg.asset_check(
    asset=due_contacts,
    description="Today's due contacts are between half and twice the median of the last four weeks. If they are more: "
    "was a large file imported, or a day missed? Nothing is harmed, limits hold; the rest waits. If they are fewer: is "
    "a sequence switched off, did an import fail, does the CRM still write?",
)
def due_contacts_as_usual(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    key, by_day = dg.AssetKey("due_contacts"), dict[str, float]()
    for record in context.instance.fetch_materializations(key, limit=3 * USUAL_DAYS).records:
        made = record.asset_materialization
        if made and made.partition and (due := made.metadata.get("contacts_due")):
            by_day.setdefault(made.partition, float(due.value))  # the latest of each day comes first
    today, *before = [by_day[day] for day in sorted(by_day, reverse=True)[: USUAL_DAYS + 1]] or [0.0]
    usual = statistics.median(before) if before else today
    passed = abs(today - usual) < LEAST_DIFFERENCE or usual / 2 <= today <= usual * 2
    return dg.AssetCheckResult(
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"contacts_due": int(today), "usual": usual, "days_compared": len(before)},
    )


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(
            "bounce_rate",
            asset=delivery_results,
            description="Of the last week's mails fewer than 2 % bounced, and not twice as many as in the weeks before. "
            "If more: which sequence or mailbox? (`send_events`, kind `bounce`.) Old lists bounce: verify their addresses "
            "before enrolling them. At 5 % a mailbox parks itself.",
        ),
        dg.AssetCheckSpec(
            "complaint_rate",
            asset=delivery_results,
            description="Of the last week's mails fewer than 0.10 % were reported as spam, as Gmail demands. If more: "
            "find the sequence and pause it. At 0.30 % Gmail refuses mails: pause first mails, and mail only those who "
            "answered until the rate has fallen for a week.",
        ),
    ],
    name="reputation",
)
def reputation(database: dg.ResourceParam[Database], clock: Clock) -> Iterator[dg.AssetCheckResult]:
    now = clock.read()
    parameters = {"day": (now + timedelta(days=1)).date(), "now": now}
    with database.connect() as connection:
        row = connection.execute(query("health", "count_reputation_events"), parameters).fetchone()
    mails, mails_before, bounces, bounces_before, complaints = row or (0, 0, 0, 0, 0)
    yield _judge_bounces(bounces, mails, bounces_before, mails_before)
    yield _judge_complaints(complaints, mails)


def _judge_bounces(bounces: int, mails: int, bounces_before: int, mails_before: int) -> dg.AssetCheckResult:
    rate, usual = _share(bounces, mails), _share(bounces_before, mails_before)
    unusual = rate >= BOUNCES_WARN or (mails_before > 0 and rate > 2 * max(usual, BOUNCES_WARN / 4))
    return dg.AssetCheckResult(
        check_name="bounce_rate",
        passed=bounces < LEAST_BOUNCES or not unusual,
        severity=_severity(rate >= BOUNCES_ALARM),
        metadata={
            "bounces": bounces,
            "mails": mails,
            "bounce_percent": round(100 * rate, 3),
            "usual_percent": round(100 * usual, 3),
        },
    )


def _judge_complaints(complaints: int, mails: int) -> dg.AssetCheckResult:
    rate = _share(complaints, mails)
    return dg.AssetCheckResult(
        check_name="complaint_rate",
        passed=rate < COMPLAINTS_WARN,
        severity=_severity(rate >= COMPLAINTS_ALARM and complaints > 1),
        metadata={"complaints": complaints, "mails": mails, "complaint_percent": round(100 * rate, 3)},
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float(part > 0)


def _severity(alarm: bool) -> dg.AssetCheckSeverity:  # noqa: FBT001
    return dg.AssetCheckSeverity.ERROR if alarm else dg.AssetCheckSeverity.WARN
