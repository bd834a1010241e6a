"""Assets, one file each, with their checks; the source tables are external assets."""

from typing import Any

from sequence_pipelines.partitions import planning_days

OWNERS = ["team:sequences"]
PLANNING, DISPATCH, RESULTS, SOURCES, HEALTH = "planning", "dispatch", "results", "sources", "health"
OUTCOMES = "outcomes"

# Dagster's default backfill policy applies: one run per day, so that each day shows its own outcome.
EACH_DAY: dict[str, Any] = {
    "partitions_def": planning_days,
    "owners": OWNERS,
    "tags": {"domain": "sequences", "grain": "planning_day"},
}
