"""Launches runs as Celery tasks (`deploy/dagster.celery.yaml`), and detects a worker that has vanished.

A Celery task keeps the state "started" if its whole worker is killed. Dagster's run monitoring therefore
pings the worker, too. Only Dagster's instance imports this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagster import DagsterRun
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

if TYPE_CHECKING:
    from celery.result import AsyncResult

PINGS = 3  # a busy worker can miss one
PING_SECONDS = 2.0


class WatchedCeleryRunLauncher(CeleryRunLauncher):
    """Extends Dagster's Celery launcher: the worker of a started run must also respond to a ping."""

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Return the health of the task; FAILED if the task is started but its worker does not respond."""
        health = super().check_run_worker_health(run)
        task: AsyncResult = self.celery.AsyncResult(run.tags[DAGSTER_CELERY_TASK_ID_TAG])
        worker = (task.info or {}).get("hostname") if health.status == WorkerStatus.RUNNING else None
        if worker is None or self._responds(worker):
            return health
        return CheckRunHealthResult(
            WorkerStatus.FAILED,
            f"The Celery worker {worker} does not respond to pings; it has probably stopped. Launch the run "
            "again.",
        )

    def _responds(self, worker: str) -> bool:
        return any(self.celery.control.ping(destination=[worker], timeout=PING_SECONDS) for _ in range(PINGS))
