"""Runs one measurement in its own process and prints it as JSON: `python -m bench.plan_once WHAT URL`.

`core` is the planner's transaction, `dagster` the three assets as Dagster runs them, `forecast` the forecast
of two weeks, and `quality` the assignment compared with the maximum flow.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
import tempfile
import time
from datetime import UTC, datetime
from typing import Any

from bench.instance import DAY
from sequence_store.settings import PipelineSettings
from sequence_store.tracing.traces import OFF

FORECAST_DAYS = 14
NOW = datetime(2026, 6, 15, 4, 0, 30, tzinfo=UTC)


def core(settings: PipelineSettings) -> dict[str, Any]:
    from sequence_pipelines.planning.planner import make_plan
    from sequence_store.postgres.connection import connect

    gc.freeze()  # as the code location does after it is loaded
    with connect(settings.pipeline_database_url, name="bench") as connection:
        began = time.perf_counter()
        plan = make_plan(connection, settings, NOW)
        connection.commit()
        spent = time.perf_counter() - began
    return {
        "seconds": spent,
        "planned": len(plan.placed),
        "waiting": len(plan.waiting),
        "phases": plan.seconds,
    }


def forecast(settings: PipelineSettings) -> dict[str, Any]:
    from sequence_pipelines.planning.forecast import forecast as make_forecast
    from sequence_pipelines.planning.repository import PlanRepository
    from sequence_store.postgres.connection import connect

    with connect(settings.pipeline_database_url, name="bench") as connection:
        began = time.perf_counter()
        days = list(
            make_forecast(PlanRepository(connection, settings.address_pads), settings, NOW, FORECAST_DAYS)
        )
        spent = time.perf_counter() - began
    return {"seconds": spent, "planned": sum(day.planned for day in days)}


def quality(settings: PipelineSettings) -> dict[str, Any]:
    from concurrent.futures import ThreadPoolExecutor

    from bench.shapes import optimum, spread
    from sequence_pipelines.planning.engine.assignment import assign_intervals
    from sequence_pipelines.planning.engine.eligibility import choose_candidates
    from sequence_pipelines.planning.repository import PlanRepository
    from sequence_pipelines.planning.snapshot_reader import planning_day_at, read_due
    from sequence_store.postgres.connection import connect

    with connect(settings.pipeline_database_url, name="bench") as connection:
        repository, day = PlanRepository(connection, settings.address_pads), planning_day_at(NOW, settings)
        with ThreadPoolExecutor(max_workers=2) as executor:
            snapshot, due, gates = read_due(repository, day, day.begins, executor)
        candidates = choose_candidates(due, snapshot, gates).candidates
        began = time.perf_counter()
        assigned = assign_intervals(candidates, snapshot).served
        spent = time.perf_counter() - began
    return {
        "seconds": spent,
        "planned": int((assigned["mailbox_id"] > 0).sum()),
        "optimum": optimum(candidates, snapshot.routes, snapshot.mailbox_capacity),
        "spread": spread(assigned, snapshot.routes, snapshot.mailbox_capacity),
    }


def dagster(settings: PipelineSettings) -> dict[str, Any]:
    import dagster as dg

    import sequence_pipelines.definitions  # noqa: F401  # as the process of a run imports it
    from sequence_pipelines.assets import due_contacts, mailbox_capacity, send_plan
    from sequence_pipelines.resources.clock import Clock
    from sequence_pipelines.resources.database import Database
    from sequence_pipelines.resources.parquet import ParquetIOManager

    modules = [due_contacts, mailbox_capacity, send_plan]
    assets, checks = dg.load_assets_from_modules(modules), dg.load_asset_checks_from_modules(modules)
    with tempfile.TemporaryDirectory() as store, dg.DagsterInstance.ephemeral() as instance:
        began = time.perf_counter()
        result = dg.materialize(
            [*assets, *checks],
            partition_key=DAY.isoformat(),
            instance=instance,
            resources={
                "settings": settings,
                "database": Database(settings),
                "traces": OFF,
                "clock": Clock(now=NOW.isoformat()),
                "io_manager": ParquetIOManager(store),
            },
        )
        spent = time.perf_counter() - began
    failed = [check.check_name for check in result.get_asset_check_evaluations() if not check.passed]
    (planned,) = result.asset_materializations_for_node("send_plan")
    return {"seconds": spent, "planned": planned.metadata["planned"].value, "failed_checks": failed}


def main() -> None:
    what, url = sys.argv[1:]
    measured = {"core": core, "dagster": dagster, "forecast": forecast, "quality": quality}
    done = measured[what](PipelineSettings(pipeline_database_url=url))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(done | {"peak_mb": peak}))


if __name__ == "__main__":
    main()
