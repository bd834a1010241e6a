"""Jobs, one file each, with the schedule or sensor that starts them."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from sequence_pipelines.partitions import planning_days
from sequence_pipelines.resources.instance.run_limits import LIMITS
from sequence_store.settings import Settings, read_settings

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def current_day() -> str:
    """Return the partition key of the current planning day."""
    calendar = read_settings(Settings).calendar
    begins = calendar.start_of(calendar.day_of(datetime.now(UTC)))
    return planning_days.get_partition_key_for_timestamp(begins.timestamp())


def has_unfinished_run(context: dg.SensorEvaluationContext, job: str) -> bool:
    """Return True if a run of the job, created within its maximum runtime, is queued or running."""
    since = datetime.now(UTC) - timedelta(seconds=LIMITS[job].seconds)
    return (
        context.instance.get_runs_count(dg.RunsFilter(job_name=job, statuses=UNFINISHED, created_after=since))
        > 0
    )
