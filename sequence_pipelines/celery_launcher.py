"""Where runs are Celery's tasks (`deploy/dagster.celery.yaml`): also a worker that vanished is noticed.

Celery says of a task that it has begun, and goes on saying so for ever when the whole worker dies with it. So each
look of Dagster's run monitoring asks the worker itself. It is imported by Dagster's instance alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagster import DagsterRun
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

if TYPE_CHECKING:
    from celery.result import AsyncResult

ASKED = 3  # times, since an answer may come late from a busy machine
ANSWER_SECONDS = 2.0


class WatchedCeleryRunLauncher(CeleryRunLauncher):
    """Dagster's own launcher, which also asks the worker of a started run whether it is still there."""

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Return what the task says; FAILED where it says that it runs, and its worker answers nothing."""
        health = super().check_run_worker_health(run)
        task: AsyncResult = self.celery.AsyncResult(run.tags[DAGSTER_CELERY_TASK_ID_TAG])
        worker = (task.info or {}).get("hostname") if health.status == WorkerStatus.RUNNING else None
        if worker is None or self._answers(worker):
            return health
        return CheckRunHealthResult(WorkerStatus.FAILED, f"Celery's worker {worker} has vanished.")

    def _answers(self, worker: str) -> bool:
        return any(
            self.celery.control.ping(destination=[worker], timeout=ANSWER_SECONDS) for _ in range(ASKED)
        )
