"""Reads the system state from the database, the queues, the API and Dagster; changes nothing.

`sequences status` shows the state and `sequences metrics` exposes it. If a source does not respond, its part
of the state is None and `silent` holds the reason.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
from botocore.exceptions import BotoCoreError, ClientError
from psycopg.rows import dict_row

from sequence_cli.http_client import request_json
from sequence_store.domain.planning_day import PlanningCalendar
from sequence_store.domain.states import SendStatus
from sequence_store.errors import StoreError
from sequence_store.postgres.connection import connect
from sequence_store.postgres.lookback import SHORTEST_LOOKBACK
from sequence_store.postgres.queries import query
from sequence_store.settings import ObserverSettings
from sequence_store.sqs import Queue, sqs_client

TIMEOUT_SECONDS = 10
_DAGSTER = """query State($failed: RunsFilter!) {
    instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } }
    assetNodeOrError(assetKey: {path: ["send_plan"]}) { ... on AssetNode {
        assetPartitionStatuses { ... on TimePartitionStatuses { ranges { status startKey endKey } } }
        assetMaterializations(limit: 1) { timestamp partition runId metadataEntries { label
            ... on IntMetadataEntry { intValue } ... on FloatMetadataEntry { floatValue } } } } }
    workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError { __typename
        ... on RepositoryLocation { repositories {
            schedules { name defaultStatus scheduleState { status } }
            sensors { name defaultStatus sensorState { status } } } } } } } }
    runsOrError(filter: $failed, limit: 500) { ... on Runs { results { jobName } } } }"""


@dataclass(frozen=True)
class Late:
    """The number of late sends at one stage, and how many seconds the oldest of them is late."""

    sends: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Parked:
    """A parked mailbox, the end of the parking and its reason."""

    address: str
    until: datetime
    reason: str


@dataclass(frozen=True)
class Pause:
    """The time since when all sending is paused, and why."""

    since: datetime
    reason: str


@dataclass(frozen=True)
class LedgerStatus:
    """The ledger's part of the state.

    `sends` counts the sends of the planning day by status, `reasons` by status and reason; `waiting` counts
    the deferred contacts by reason.
    """

    sends: dict[str, int]
    reasons: dict[tuple[str, str], int]
    next_at: datetime | None
    waiting: dict[str, int]
    undispatched: Late
    unsent: Late
    unadvanced: Late
    unknown: Late
    active_mailboxes: int
    allowed: int
    used: int
    parked: list[Parked]
    worker_connections: int
    paused: Pause | None = None
    opt_outs: int = 0  # that wait for confirmation
    left_company: int = 0  # enrolments whose contact has left its company
    readable_mailboxes: int = 0  # whose incoming mail is read
    unread_seconds: float = 0.0  # since the mailbox was read that was read longest ago
    unread_mailbox: str | None = None
    outcomes: dict[str, int] = field(default_factory=dict)
    feed_waiting: int = 0
    feed_waiting_seconds: float = 0.0
    failing_webhooks: int = 0
    checks: dict[tuple[str, str], bool] = field(default_factory=dict)


@dataclass(frozen=True)
class QueueState:
    """Approximate message counts of a queue, as SQS reports them."""

    visible: int
    in_flight: int
    delayed: int
    dead: int


@dataclass(frozen=True)
class LatestPlan:
    """The latest materialization of send_plan; `numbers` holds its numeric metadata."""

    at: datetime
    partition: str
    run: str
    numbers: dict[str, float]

    @property
    def seconds(self) -> float:
        """Duration of the plan: the sum of its phases."""
        return sum(value for name, value in self.numbers.items() if name.startswith("seconds_"))


@dataclass(frozen=True)
class Orchestration:
    """Dagster's part of the state; `failed_runs` counts the failed runs of the last 24 hours by job."""

    ill_daemons: list[str]
    loaded: bool
    switched_off: list[str]
    plan: LatestPlan | None
    missed: list[date]
    failed_runs: dict[str, int]


@dataclass(frozen=True)
class SystemState:
    """The state of all sources; `silent` holds the sources that did not respond, with the reason."""

    now: datetime
    day: date
    ends: datetime
    ledger: LedgerStatus | None
    queues: dict[str, QueueState] | None
    dagster: Orchestration | None
    api: bool
    silent: dict[str, str] = field(default_factory=dict)


def read_state(settings: ObserverSettings, now: datetime) -> SystemState:
    """Read all sources in parallel."""
    calendar = settings.calendar
    day = calendar.day_of(now)
    silent: dict[str, str] = {}

    def read(source: str, reader: Any, *arguments: Any) -> Any:
        try:
            return reader(settings, *arguments)
        except (psycopg.Error, BotoCoreError, ClientError, StoreError, OSError) as error:
            silent[source] = str(error).partition("\n")[0] or type(error).__name__
            return None
        except (KeyError, TypeError, AttributeError, ValueError):  # a server that is not ours
            silent[source] = "answered something else than expected; is it another server?"
            return None

    with ThreadPoolExecutor(4) as pool:
        ledger_status = pool.submit(read, "database", read_ledger_status, calendar, now)
        queues = pool.submit(read, "queues", _read_queues)
        dagster = pool.submit(read, "dagster", _read_dagster, day, now) if settings.dagster_url else None
        api = pool.submit(read, "api", _api_is_ready)
        return SystemState(
            now=now,
            day=day,
            ends=calendar.end_of(day),
            ledger=ledger_status.result(),
            queues=queues.result(),
            dagster=dagster.result() if dagster else None,
            api=bool(api.result()),
            silent=silent,
        )


def read_ledger_status(settings: ObserverSettings, calendar: PlanningCalendar, now: datetime) -> LedgerStatus:
    """Read the ledger as the read-only role; each statement has a timeout of 30 s."""
    day = calendar.day_of(now)
    values = {"now": now, "day": day, "begins": calendar.start_of(day), "since": now - SHORTEST_LOOKBACK}
    with (
        connect(settings.readonly_database_url, name="sequences status") as connection,
        connection.cursor(row_factory=dict_row) as cursor,
    ):
        connection.execute("SET statement_timeout = '30s'")

        def rows(name: str) -> list[dict[str, Any]]:
            return cursor.execute(query("status", name), values).fetchall()

        counted = rows("count_sends_of_day")
        (late,), (boxes,), (workers,) = (
            rows("find_late"),
            rows("count_mailboxes"),
            rows("count_worker_connections"),
        )
        answers = cursor.execute(query("replies", "count_open_questions"), {"now": now}).fetchone() or {}
        waiting = {row["reason"]: row["count"] for row in rows("count_waiting")}
        pause = cursor.execute(query("pauses", "read_pause")).fetchone()
        (outcomes,), (feed,) = rows("count_outcomes"), rows("count_feed")
        checks = cursor.execute(query("checks", "read_passed")).fetchall()
        parked = [Parked(row["address"], row["parked_until"], row["reason"]) for row in rows("read_parked")]
    sends: dict[str, int] = {}
    for row in counted:
        sends[row["status"]] = sends.get(row["status"], 0) + row["count"]

    def lateness(name: str) -> Late:
        since = late[f"{name}_since"]
        return Late(late[name], (now - since).total_seconds() if since else 0.0)

    return LedgerStatus(
        sends=sends,
        reasons={(row["status"], row["reason"]): row["count"] for row in counted if row["reason"]},
        next_at=min(
            (
                row["next_at"]
                for row in counted
                if row["next_at"] and row["status"] in {SendStatus.PLANNED, SendStatus.DISPATCHED}
            ),
            default=None,
        ),
        waiting=waiting,
        undispatched=lateness("undispatched"),
        unsent=lateness("unsent"),
        unadvanced=lateness("unadvanced"),
        unknown=lateness("unknown"),
        active_mailboxes=boxes["active"],
        allowed=boxes["allowed"],
        used=boxes["used"],
        parked=parked,
        worker_connections=workers["count"],
        paused=Pause(pause["paused_at"], pause["reason"]) if pause else None,
        opt_outs=answers["opt_outs"],
        left_company=answers["left_company"],
        readable_mailboxes=answers["readable"],
        unread_seconds=answers["unread_seconds"],
        unread_mailbox=answers["unread_mailbox"],
        outcomes=outcomes,
        feed_waiting=feed["waiting"],
        feed_waiting_seconds=max(0.0, feed["oldest_seconds"]),
        failing_webhooks=feed["failing_webhooks"],
        checks={(row["asset"], row["check_name"]): row["passed"] for row in checks},
    )


def _read_queues(settings: ObserverSettings) -> dict[str, QueueState]:
    client = sqs_client(settings, read_timeout=TIMEOUT_SECONDS)
    try:
        environment = settings.sequence_environment
        queues = {
            name: Queue.look_up(client, name, environment=environment)
            for name in (settings.sends_queue, settings.delivery_results_queue)
        }
        return {name: QueueState(**queue.counts()) for name, queue in queues.items()}
    finally:
        client.close()


def _read_dagster(settings: ObserverSettings, day: date, now: datetime) -> Orchestration:
    failed = {"statuses": ["FAILURE"], "createdAfter": (now - timedelta(days=1)).timestamp()}
    url = f"{(settings.dagster_url or '').rstrip('/')}/graphql"
    body = {"query": _DAGSTER, "variables": {"failed": failed}}
    found = request_json(url, "Dagster", body=body, seconds=TIMEOUT_SECONDS)["data"]
    locations = [entry["locationOrLoadError"] for entry in found["workspaceOrError"]["locationEntries"]]
    repositories = [one for location in locations for one in (location or {}).get("repositories", ())]
    triggers = [
        one for repository in repositories for one in (*repository["schedules"], *repository["sensors"])
    ]
    failures: dict[str, int] = {}
    for run in found["runsOrError"]["results"]:
        failures[run["jobName"]] = failures.get(run["jobName"], 0) + 1
    asset = found["assetNodeOrError"]
    materializations = asset.get("assetMaterializations") or []
    return Orchestration(
        ill_daemons=[
            status["daemonType"].lower()
            for status in found["instance"]["daemonHealth"]["allDaemonStatuses"]
            if status["required"] and not status["healthy"]
        ],
        loaded=bool(repositories),
        switched_off=[one["name"] for one in triggers if _is_switched_off(one)],
        plan=_latest_plan(materializations[0]) if materializations else None,
        missed=missed_days((asset.get("assetPartitionStatuses") or {}).get("ranges") or [], day),
        failed_runs=failures,
    )


def _is_switched_off(trigger: dict[str, Any]) -> bool:
    """Return whether a schedule or sensor that runs by default is stopped."""
    state = trigger.get("scheduleState") or trigger.get("sensorState") or {}
    return bool(trigger["defaultStatus"] == "RUNNING" and state["status"] != "RUNNING")


def missed_days(ranges: list[dict[str, str]], today: date) -> list[date]:
    """Return the days without a plan between the first planned day and yesterday.

    `ranges` are Dagster's partition ranges; their keys begin with the date.
    """
    made: set[date] = set()
    for one in ranges:
        if one["status"] == "MATERIALIZED":
            first, last = date.fromisoformat(one["startKey"][:10]), date.fromisoformat(one["endKey"][:10])
            made |= {first + timedelta(days=n) for n in range((last - first).days + 1)}
    if not made:
        return []
    first = min(made)
    days = (first + timedelta(days=n) for n in range((today - first).days))
    return [one for one in days if one not in made]


def _latest_plan(materialization: dict[str, Any]) -> LatestPlan:
    numbers = {
        entry["label"]: float(value)
        for entry in materialization["metadataEntries"]
        if (value := entry.get("intValue", entry.get("floatValue"))) is not None
    }
    at = datetime.fromtimestamp(float(materialization["timestamp"]) / 1000, UTC)
    return LatestPlan(at, materialization["partition"] or "", materialization["runId"], numbers)


def _api_is_ready(settings: ObserverSettings) -> bool:
    url = f"{settings.api_url.rstrip('/')}/readyz"
    return bool(request_json(url, "The API", seconds=TIMEOUT_SECONDS)["message"] == "ready")
