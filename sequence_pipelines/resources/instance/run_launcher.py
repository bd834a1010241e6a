"""Launches runs in the code server, and detects a run whose process is gone.

Dagster's default launcher asks only the code server about its runs, and a code server that was killed and
started again knows none of them: such a run would stay "started" until its maximum runtime, and its job would
wait for it.
"""

from __future__ import annotations

import time
from contextlib import suppress

from dagster import DagsterRun
from dagster._core.errors import DagsterUserCodeProcessError, DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus

from sequence_pipelines.resources.instance.run_lock import is_locked, lock_url

GONE_SECONDS = 15.0  # a live process renews a lost lock sooner
# A failed run is retried at once, and the retry needs the code server.
SERVER_SECONDS = 60.0
GONE = (
    "The process of this run is gone: it was killed, or its machine stopped. What it had not committed was "
    "rolled back."
)


class WatchedRunLauncher(DefaultRunLauncher):
    """Extends Dagster's default launcher: a started run must hold its lock (`run_lock`)."""

    def __init__(self, inst_data: object = None) -> None:
        super().__init__(inst_data)  # type: ignore[arg-type]
        self._gone_since: dict[str, float] = {}

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Whether run monitoring may ask: yes if Dagster's database has locks."""
        return lock_url(self._instance) is not None

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Return FAILED if no process has held the run's lock for GONE_SECONDS."""
        if self._is_locked(run.run_id):
            self._gone_since.pop(run.run_id, None)
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        gone = time.monotonic() - self._gone_since.setdefault(run.run_id, time.monotonic())
        if gone < GONE_SECONDS or (gone < SERVER_SECONDS and not self._server_responds(run.run_id)):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        self._gone_since.pop(run.run_id, None)
        return CheckRunHealthResult(WorkerStatus.FAILED, GONE)

    def terminate(self, run_id: str) -> bool:
        """End the run; also if its code server does not know it, or its process is gone.

        A process that the code server cannot reach reads the run's status and ends itself.
        """
        with suppress(DagsterUserCodeProcessError, DagsterUserCodeUnreachableError):
            if super().terminate(run_id):  # type: ignore[no-untyped-call]
                return True
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        if lock_url(self._instance) is None:
            return False
        if not self._is_locked(run_id):
            self._instance.report_run_canceled(run, GONE)
        return True

    def _is_locked(self, run_id: str) -> bool:
        url = lock_url(self._instance)
        return url is not None and is_locked(url, run_id)

    def _server_responds(self, run_id: str) -> bool:
        client = self._get_grpc_client_for_termination(run_id)  # type: ignore[no-untyped-call]
        if client is None:
            return True
        try:
            client.ping("")
        except DagsterUserCodeUnreachableError:
            return False
        return True
