"""The jobs, a file each, with what triggers them."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from sequence_pipelines.partitions import planning_days
from sequence_store.settings import Settings, read_settings

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def run_tags(job: str, *, seconds: int, priority: int = 0) -> dict[str, str]:
    """Return the tags of a job's runs: what dagster.yaml limits by, a bound, and the place in the queue.

    Without the bound a run whose machine vanished would stay started, and in the way, for ever.
    """
    return {"sequences/job": job, "dagster/max_runtime": str(seconds), "dagster/priority": str(priority)}


def current_day() -> str:
    """Return the partition of the current planning day."""
    day = read_settings(Settings).calendar.day_of(datetime.now(UTC))
    return planning_days.get_partition_key_for_timestamp(
        read_settings(Settings).calendar.start_of(day).timestamp()
    )


def under_way(context: dg.SensorEvaluationContext, job: str, seconds: int) -> bool:
    """Return whether a run of the job is queued or running; one older than `seconds` no longer counts."""
    since = datetime.now(UTC) - timedelta(seconds=seconds)
    return (
        context.instance.get_runs_count(dg.RunsFilter(job_name=job, statuses=UNFINISHED, created_after=since))
        > 0
    )
