"""Limits of runs: how long a run may take, how urgent it is, and which runs exclude each other.

`deploy/dagster.yaml` allows one run at a time for each value of the tag JOB_TAG. The jobs have these tags in
their definition. A run of an asset or a check that is launched from its page belongs to no job and gets the
tags of the job that would materialize its selection, when it is submitted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

JOB_TAG = "sequences/job"
RUNTIME_TAG = "dagster/max_runtime"
PRIORITY_TAG = "dagster/priority"


@dataclass(frozen=True)
class RunLimit:
    """Maximum runtime in seconds and priority of a job's runs, and the assets that the job materializes."""

    seconds: int
    priority: int = 0
    assets: frozenset[str] = frozenset()


PLAN = frozenset({"due_contacts", "mailbox_capacity", "send_plan", "timed_messages"})
LIMITS: Mapping[str, RunLimit] = {
    "daily_plan": RunLimit(3600, 10, PLAN),
    "timed_dispatch": RunLimit(600, 20, frozenset({"timed_messages"})),
    "apply_delivery_results": RunLimit(600, 15, frozenset({"delivery_results"})),
    "reconcile": RunLimit(600, 5),
    "health_checks": RunLimit(600, 0, frozenset({"sending_health"})),
    "write_facts": RunLimit(3600, -5, frozenset({"mail_facts"})),
    "report_outcomes": RunLimit(600, -5, frozenset({"sequence_performance", "sends_today"})),
    "archive_old_sends": RunLimit(3600, -5),
    "remove_old_runs": RunLimit(3600, -5),
    "send_forecast": RunLimit(3600, 0, frozenset({"send_forecast"})),
}
CHECKS_ONLY = "health_checks"


def run_tags(job: str) -> dict[str, str]:
    """Return the tags of a job's runs: its name, maximum runtime and priority."""
    limit = LIMITS[job]
    return {JOB_TAG: job, RUNTIME_TAG: str(limit.seconds), PRIORITY_TAG: str(limit.priority)}


def job_of(assets: Collection[str]) -> str:
    """Return the job whose limits a run of `assets` obeys; a run without assets only evaluates checks.

    If no job materializes all of them, it is the job with the longest runtime that materializes one of them.
    Its other assets are protected by their pools.
    """
    if not assets:
        return CHECKS_ONLY
    whole = [job for job, limit in LIMITS.items() if limit.assets.issuperset(assets)]
    if whole:
        return min(whole, key=lambda job: len(LIMITS[job].assets))
    some = [job for job, limit in LIMITS.items() if not limit.assets.isdisjoint(assets)]
    return max(some or ["daily_plan"], key=lambda job: (LIMITS[job].seconds, len(LIMITS[job].assets)))
