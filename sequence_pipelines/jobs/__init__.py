"""Jobs, one file each, with the schedule or sensor that starts them."""

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
    """Return the tags of a job's runs: its name (dagster.yaml limits by it), maximum runtime and priority.

    Without a maximum runtime, a run whose machine vanished would stay started and block all later runs of the
    job.
    """
    return {"sequences/job": job, "dagster/max_runtime": str(seconds), "dagster/priority": str(priority)}


def current_day() -> str:
    """Return the partition key of the current planning day."""
    calendar = read_settings(Settings).calendar
    begins = calendar.start_of(calendar.day_of(datetime.now(UTC)))
    return planning_days.get_partition_key_for_timestamp(begins.timestamp())


def has_unfinished_run(context: dg.SensorEvaluationContext, job: str, seconds: int) -> bool:
    """Return True if a run of the job, created at most `seconds` ago, is queued or running."""
    since = datetime.now(UTC) - timedelta(seconds=seconds)
    return (
        context.instance.get_runs_count(dg.RunsFilter(job_name=job, statuses=UNFINISHED, created_after=since))
        > 0
    )
