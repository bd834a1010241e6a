"""The assets, a file each, with their checks beside them; the source tables as external assets."""

from typing import Any

from sequence_pipelines.partitions import planning_days

OWNERS = ["team:sequences"]
PLANNING, DISPATCH, RESULTS, SOURCES = "planning", "dispatch", "results", "sources"

# Dagster's default backfill policy, one run a day, is the one wanted: each day shows its own outcome.
EACH_DAY: dict[str, Any] = {
    "partitions_def": planning_days,
    "owners": OWNERS,
    "tags": {"domain": "sequences", "grain": "planning_day"},
}
