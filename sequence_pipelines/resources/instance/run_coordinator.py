"""Queues runs, and gives those that are launched from an asset's page the limits of the asset's job."""

from __future__ import annotations

from dagster import DagsterRun, QueuedRunCoordinator, SubmitRunContext

from sequence_pipelines.resources.instance.run_limits import JOB_TAG, job_of, run_tags


class LimitedRunCoordinator(QueuedRunCoordinator):
    """Extends Dagster's run queue: every run of this project has the tags that limit it (`run_limits`)."""

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        """Add the missing tags to the run and put it in the queue."""
        run = context.dagster_run
        if JOB_TAG not in run.tags and (run.asset_selection or run.asset_check_selection):
            assets = {key.to_user_string() for key in run.asset_selection or ()}
            missing = {
                name: value for name, value in run_tags(job_of(assets)).items() if name not in run.tags
            }
            self._instance.add_run_tags(run.run_id, missing)
        return super().submit_run(context)
