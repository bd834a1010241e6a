"""Executor of all jobs: Dagster's in-process executor, which also holds the lock of its run."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.in_process import InProcessExecutor

from sequence_pipelines.resources.instance.run_lock import RunLock


class LockedExecutor(InProcessExecutor):
    """Executes the steps of a run in its process, and holds the lock of the run meanwhile."""

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        """Yield the events of the steps."""
        with RunLock(plan_context.instance, plan_context.run_id):
            yield from super().execute(plan_context, execution_plan)


@dg.executor(name="in_process")
def locked_executor(_context: dg.InitExecutorContext) -> LockedExecutor:
    """Execute all steps of a run in one process that other programs can see."""
    return LockedExecutor(RetryMode.ENABLED)
