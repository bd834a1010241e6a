"""Finds what got lost on the way: vanished messages, dead workers, answers that never came, unapplied outcomes."""

from typing import Any

import dagster as dg
import psycopg

from sequence_pipelines.assets.delivery_results import sweep
from sequence_pipelines.jobs import run_tags
from sequence_pipelines.resources.database import Database
from sequence_pipelines.resources.sqs import Queues
from sequence_store.failpoints import Failpoint, reach
from sequence_store.postgres.lookback import oldest_unsettled
from sequence_store.postgres.queries import query
from sequence_store.settings import PipelineSettings
from sequence_store.tracing.traces import Traces


@dg.op(
    description="Returns what is lost to the plan, and makes unknown what nobody can answer for.",
    pool="reconcile",
)
def settle_what_is_lost(
    context: dg.OpExecutionContext,
    settings: dg.ResourceParam[PipelineSettings],
    database: dg.ResourceParam[Database],
    queues: dg.ResourceParam[Queues],
    traces: dg.ResourceParam[Traces],
) -> None:
    with database.connect() as connection:
        found = reconcile_ledger(connection, settings)
        since = oldest_unsettled(connection, settings)
        found["swept_up_without_message"] = sweep(connection, settings, traces, since).advanced
        unknown, transmitting, _ = connection.execute(
            query("reconcile", "count_unsettled"), {"since": since}
        ).fetchall()[0]
    found |= {"unknown": unknown, "transmitting": transmitting}
    found["dead_letters"] = queues.sends().dead_letters() + queues.delivery_results().dead_letters()
    context.log.info(", ".join(f"{name}: {count}" for name, count in found.items()))
    context.add_output_metadata(dict(found))


def reconcile_ledger(connection: psycopg.Connection[Any], settings: PipelineSettings) -> dict[str, int]:
    """Put right what the ledger alone can tell; returns how many rows of each kind. Commits."""
    since = oldest_unsettled(connection, settings)

    def run(name: str, **parameters: Any) -> list[tuple[Any, ...]]:
        return connection.execute(query("reconcile", name), {"since": since, **parameters}).fetchall()

    expired = connection.execute(query("dispatch", "expire_overdue"), {"since": since, "now": None}).rowcount
    vanished = run("requeue_dispatched", older_than_seconds=settings.vanished_after_seconds)
    claims = run("release_lost_claims", older_than_seconds=settings.vanished_after_seconds)
    unknown = run("settle_transmitting", bound_seconds=settings.transmitting_bound_seconds)
    reach(Failpoint.RECONCILE_SETTLED)
    connection.commit()
    return {
        "expired": expired,
        "messages_vanished": len(vanished),
        "claims_lost": len(claims),
        "became_unknown": len(unknown),
    }


@dg.job(
    tags=run_tags("reconcile", seconds=600, priority=5),
    description="Sweeps the ledger for what got lost on the way. Everything it does may be done twice.",
)
def reconcile() -> None:
    settle_what_is_lost()


reconcile_schedule = dg.ScheduleDefinition(
    name="reconcile_schedule",
    job=reconcile,
    cron_schedule="*/15 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every quarter of an hour.",
)
