"""Sending health: an hourly report of mailboxes and queues, and every check that needs no new plan."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pandas as pd

from sequence_pipelines.assets import HEALTH, OWNERS
from sequence_pipelines.maintenance.due_volume import DAYS_COMPARED, judge_due_volume
from sequence_pipelines.maintenance.inbox_state import UNREAD_SECONDS, read_inbox_state
from sequence_pipelines.maintenance.invariants import Invariant
from sequence_pipelines.maintenance.missed_days import find_missed_days
from sequence_pipelines.maintenance.reconcile import count_unsettled
from sequence_pipelines.maintenance.reputation import (
    count_reputation_events,
    judge_bounces,
    judge_complaints,
)
from sequence_pipelines.maintenance.verify import check_since_yesterday
from sequence_pipelines.partitions import planning_days
from sequence_pipelines.planning.certificate import prove_latest_plan
from sequence_pipelines.planning.engine.windows import misconfigured
from sequence_pipelines.planning.repository import PlanRepository
from sequence_pipelines.planning.snapshot_reader import planning_day_at, read_snapshot, read_team
from sequence_pipelines.reporting.history import due_contacts_by_day
from sequence_pipelines.reporting.mailbox_states import (
    count_problems,
    mailbox_states_page,
    read_mailbox_states,
)
from sequence_pipelines.reporting.metadata import PREVIEW_ROWS, links, table
from sequence_pipelines.resources.clock import Clock
from sequence_pipelines.resources.database import Database
from sequence_pipelines.resources.sqs import Queues
from sequence_store.postgres.lookback import oldest_live, oldest_unsettled
from sequence_store.postgres.queries import query
from sequence_store.settings import PipelineSettings

MOST_DAYS_SHOWN = 50
STARVED_AFTER = timedelta(days=30)  # longer than this no contact that is due should wait


@dg.asset(
    group_name=HEALTH,
    owners=OWNERS,
    kinds={"postgres", "sqs"},
    tags={"domain": "sequences"},
    deps=["sends", "mailboxes", "sequences", "steps", "sends_queue", "delivery_results_queue"],
    pool="sending_health",
)
def sending_health(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[PipelineSettings],
    database: dg.ResourceParam[Database],
    queues: dg.ResourceParam[Queues],
    clock: Clock,
) -> dg.MaterializeResult:
    """State of mailboxes and queues at this hour. The checks that need no plan belong to this asset.

    The checks run after each materialization, once an hour, so they always show their latest result.

    **Metadata:** `mailboxes_with_a_problem` counts those of the `mailboxes` that a person has to look at, and
    `mailbox_states` lists them first: state, reason, until when, and a
    link to the mailbox in the Sequence API. A mailbox is named by its public id and its domain. The depth and
    the dead letters of each queue are also recorded as observations of the queue's asset.
    """
    day = planning_day_at(clock.read(), settings)
    with database.connect() as connection:
        repository = PlanRepository(connection, settings.address_pads)
        since = oldest_live(connection, settings, day.begins)
        states = read_mailbox_states(
            repository, read_snapshot(repository, day, since, read_team(repository, day))
        )
    for name, queue in (
        ("sends_queue", queues.sends()),
        ("delivery_results_queue", queues.delivery_results()),
    ):
        context.log_event(dg.AssetObservation(name, metadata=queue.counts()))
    return dg.MaterializeResult(
        metadata={
            "mailboxes": len(states),
            "mailboxes_with_a_problem": count_problems(states),
            "mailbox_states": mailbox_states_page(states, settings),
            **links(settings, "how-full-are-the-mailboxes"),
        }
    )


@dg.asset_check(
    asset=sending_health,
    description="Since the previous planning day, no send violated a delivery invariant: none was mailed "
    "twice, lost, late, sent after a stop, over a limit or within a gap, and every outcome advanced its "
    "enrolment once (docs/reliability.md). If one did: `sequences verify` lists the sends. Stop the worker "
    "if it sends wrong mails, and report the violation.",
)
def promises_kept(
    settings: dg.ResourceParam[PipelineSettings], database: dg.ResourceParam[Database]
) -> dg.AssetCheckResult:
    with database.connect() as connection:
        found = check_since_yesterday(connection, settings, datetime.now(UTC))
    return dg.AssetCheckResult(
        passed=found.passed,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "sends": found.sends,
            "violations": found.counts.total(),
            **{f"violations_{name.value}": found.counts[name] for name in Invariant},
            "examples": table(
                pd.DataFrame(found.examples, columns=["invariant", "message", "key"]).astype(str)
            ),
        },
    )


@dg.asset_check(
    asset=sending_health,
    description="Every active sequence has a live step and an active mailbox. If one has not: add them in "
    "the Sequence API, or switch the sequence off.",
)
def sequences_can_mail(
    database: dg.ResourceParam[Database], settings: dg.ResourceParam[PipelineSettings]
) -> dg.AssetCheckResult:
    with database.connect() as connection:
        bad = PlanRepository(connection, settings.address_pads).frame("find_bad_sequences")
    return dg.AssetCheckResult(
        passed=bad.empty,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "sequences": len(bad),
            "which": table(bad.astype({"sequence_id": "int64"}) if len(bad) else bad),
        },
    )


@dg.asset_check(
    asset=sending_health,
    description="Every active mailbox has a valid time zone, valid send days and a known holiday calendar. "
    "If one has not: correct it in the Sequence API. Until then its contacts wait with the reason "
    "`mailbox_misconfigured`.",
)
def mailboxes_are_configured(
    database: dg.ResourceParam[Database], settings: dg.ResourceParam[PipelineSettings]
) -> dg.AssetCheckResult:
    with database.connect() as connection:
        mailboxes = PlanRepository(connection, settings.address_pads).mailboxes()
    bad = mailboxes[misconfigured(mailboxes) & mailboxes["is_active"].astype(bool)]
    return dg.AssetCheckResult(
        passed=bad.empty,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "mailboxes": len(bad),
            "which": table(bad[["mailbox_id", "external_id", "time_zone"]].head(PREVIEW_ROWS)),
        },
    )


@dg.asset_check(
    asset=sending_health,
    description="Sending is not paused. If it is: the metadata says since when and why. Plans and messages "
    "go on, and each send whose time comes is cancelled with the reason `all_paused`. `sequences resume-all` "
    "resumes sending.",
)
def sending_not_paused(database: dg.ResourceParam[Database]) -> dg.AssetCheckResult:
    with database.connect() as connection:
        pause = connection.execute(query("pauses", "read_pause")).fetchone()
    since, reason = pause or (None, None)
    return dg.AssetCheckResult(
        passed=pause is None,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"paused_since": str(since), "reason": str(reason)} if pause else {},
    )


@dg.asset_check(
    asset=sending_health,
    description="The dead-letter queues are empty. If there is a message: read its attribute `reason`, then "
    "delete the message. It was malformed or from another environment, or it was received too often; no "
    "send depends on it.",
)
def no_dead_letters(queues: dg.ResourceParam[Queues]) -> dg.AssetCheckResult:
    counts = {
        "sends": queues.sends().dead_letters(),
        "delivery_results": queues.delivery_results().dead_letters(),
    }
    return dg.AssetCheckResult(
        passed=not any(counts.values()), severity=dg.AssetCheckSeverity.WARN, metadata=counts
    )


@dg.asset_check(
    asset=sending_health,
    description="Every planning day since the installation has its plan; today's plan counts as missed an "
    "hour after the day began. If a plan is missed: open the job `daily_plan`, click *Materialize all* and "
    "choose the missed days. No contact is mailed twice: later plans have taken up the contacts of the "
    "missed day, and those that still wait are mailed within today's limits. After an outage Dagster runs "
    "the latest missed tick by itself, so only earlier days are missed.",
)
def no_missed_day(
    context: dg.AssetCheckExecutionContext,
    settings: dg.ResourceParam[PipelineSettings],
    database: dg.ResourceParam[Database],
) -> dg.AssetCheckResult:
    days = [date.fromisoformat(key) for key in planning_days.get_partition_keys()]
    made = context.instance.get_materialized_partitions(dg.AssetKey("send_plan"))
    planned = {date.fromisoformat(key) for key in made}
    with database.connect() as connection:
        missed = find_missed_days(connection, settings.calendar, days, planned, datetime.now(UTC))
    return dg.AssetCheckResult(
        passed=not missed,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "missed": len(missed),
            "days": dg.MetadataValue.json([str(day) for day in missed[-MOST_DAYS_SHOWN:]]),
        },
    )


@dg.asset_check(
    asset=sending_health,
    description="No send has an unknown outcome. If one has: run `sequences sends list --status unknown`, "
    "look for the mail in the mailbox's Sent folder, then run `sequences sends resolve`. `transmitting` "
    "counts sends that a worker is handing to a server, `not_advanced` finished sends that have not "
    "advanced their enrolment yet.",
)
def nothing_unknown(
    database: dg.ResourceParam[Database], settings: dg.ResourceParam[PipelineSettings]
) -> dg.AssetCheckResult:
    with database.connect() as connection:
        found = count_unsettled(connection, oldest_unsettled(connection, settings))
    return dg.AssetCheckResult(
        passed=found.unknown == 0, severity=dg.AssetCheckSeverity.WARN, metadata=found._asdict()
    )


@dg.asset_check(
    asset=sending_health,
    description="The number of due contacts, as the first plan of the latest planned day found it, is "
    "between half and twice the median of the last four weeks. Later runs of a day and "
    "days without a plan are not compared. If the number is higher: "
    "check whether a large file was imported or a day was missed. "
    "The limits hold, so no mailbox sends too much, and the other contacts wait. "
    "If it is lower: check whether a sequence is switched off, an import failed, or the CRM stopped writing.",
)
def due_contacts_as_usual(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    verdict = judge_due_volume(due_contacts_by_day(context.instance, DAYS_COMPARED + 1))
    return dg.AssetCheckResult(
        passed=verdict.passed,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "contacts_due": verdict.due,
            "usual": verdict.usual,
            "days_compared": verdict.days_compared,
        },
    )


@dg.asset_check(
    asset="send_plan",
    description="No plan serves more contacts of any class and those before it than the latest plan: the "
    "check computes the bound of each class again from the tables. If not: the plan is valid, but not the "
    "largest; report it. Rows that were dispatched since the plan count as promised before it. If mailboxes, "
    "sequences or routes were changed since, there is nothing to compare until the next plan.",
)
def plan_is_largest(
    database: dg.ResourceParam[Database], settings: dg.ResourceParam[PipelineSettings]
) -> dg.AssetCheckResult:
    with database.connect() as connection:
        proof = prove_latest_plan(connection, settings)
    wrong = [vars(one) for one in proof.classes if not one.is_largest]
    names = ["number", "served", "bound", "lost"]
    return dg.AssetCheckResult(
        passed=proof.holds,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "classes_with_waiting_contacts": len(proof.classes),
            "changed_since_the_plan": proof.changed_since,
            "not_largest": table(pd.DataFrame(wrong, columns=names).astype("int64")),
        },
    )


@dg.asset_check(
    asset=sending_health,
    description="No contact that is due waits longer than thirty days. If one does: the reason says what to "
    "change. A mailbox or a sequence without capacity needs a higher limit or more mailboxes.",
)
def nobody_starved(
    database: dg.ResourceParam[Database], settings: dg.ResourceParam[PipelineSettings], clock: Clock
) -> dg.AssetCheckResult:
    before = settings.calendar.day_of(clock.read()) - STARVED_AFTER
    with database.connect() as connection:
        starved = PlanRepository(connection, settings.address_pads).frame("find_starved", before=before)
    whole = ["sequence_id", "mailbox_id", "contacts"]
    return dg.AssetCheckResult(
        passed=starved.empty,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "contacts": int(starved["contacts"].sum()),
            "which": table(starved.astype(dict.fromkeys(whole, "int64")).astype({"due_since": str})),
        },
    )


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(
            "bounce_rate",
            asset=sending_health,
            description="Fewer than 2 % of the last week's mails bounced, and at most twice the share of "
            "the three weeks before. If more bounced: find the sequence or mailbox in `send_events` (kind "
            "`bounce`). Old lists bounce, so verify addresses before you enrol them. At 5 % a mailbox is "
            "parked automatically.",
        ),
        dg.AssetCheckSpec(
            "complaint_rate",
            asset=sending_health,
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
    asset=sending_health,
    description="Each mailbox with an IMAP server was read within the last hour. If one was not: check that "
    "`sequences inbox` runs and what its log says of the mailbox. A reply that is not read stops nothing, so "
    "mails go on to contacts that have answered. The metadata has the mails read by day and kind, and the "
    "lag of each folder.",
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
            "mails_by_day": table(reading.by_day.astype(str)),
            "folders": table(reading.folders.astype(str)),
        },
    )


def _severity(*, alarm: bool) -> dg.AssetCheckSeverity:
    return dg.AssetCheckSeverity.ERROR if alarm else dg.AssetCheckSeverity.WARN
