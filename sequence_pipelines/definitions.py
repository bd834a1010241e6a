"""Lists everything that Dagster loads. The import needs no settings: runs and ticks read them later."""

from __future__ import annotations

import gc

import dagster as dg

from sequence_pipelines.assets import (
    delivery_results,
    due_contacts,
    mail_facts,
    mailbox_capacity,
    send_forecast,
    send_plan,
    sending_health,
    sends_today,
    sequence_performance,
    timed_messages,
)
from sequence_pipelines.assets.source_tables import source_assets
from sequence_pipelines.jobs.apply_delivery_results import apply_delivery_results, delivery_results_sensor
from sequence_pipelines.jobs.archive_old_sends import archive_old_sends, archive_schedule
from sequence_pipelines.jobs.check_alerts import check_alert_sensor
from sequence_pipelines.jobs.daily_plan import daily_plan, daily_plan_schedule, top_up_schedule
from sequence_pipelines.jobs.failure_alerts import failure_alert_sensor
from sequence_pipelines.jobs.health_checks import health_checks, health_schedule
from sequence_pipelines.jobs.reconcile import reconcile, reconcile_schedule
from sequence_pipelines.jobs.remove_old_runs import remove_old_runs, run_history_schedule
from sequence_pipelines.jobs.report_outcomes import outcomes_schedule, report_outcomes
from sequence_pipelines.jobs.timed_dispatch import timed_dispatch, timed_dispatch_sensor
from sequence_pipelines.jobs.write_facts import facts_schedule, write_facts
from sequence_pipelines.reporting.code_references import with_code_references
from sequence_pipelines.resources.clock import Clock
from sequence_pipelines.resources.database import pipeline_database
from sequence_pipelines.resources.instance.executor import locked_executor
from sequence_pipelines.resources.parquet import parquet_io_manager
from sequence_pipelines.resources.secrets import pipeline_secrets
from sequence_pipelines.resources.settings import pipeline_settings
from sequence_pipelines.resources.sqs import pipeline_queues
from sequence_pipelines.resources.traces import pipeline_traces
from sequence_store.settings import PartitionSettings, read_settings

asset_modules = [
    due_contacts,
    mailbox_capacity,
    send_plan,
    timed_messages,
    delivery_results,
    send_forecast,
    sending_health,
    sends_today,
    mail_facts,
    sequence_performance,
]

defs = dg.Definitions(
    assets=with_code_references(
        [*source_assets, *dg.load_assets_from_modules(asset_modules)],
        read_settings(PartitionSettings).source_tree,
    ),
    asset_checks=dg.load_asset_checks_from_modules(asset_modules),
    jobs=[
        daily_plan,
        timed_dispatch,
        apply_delivery_results,
        reconcile,
        health_checks,
        report_outcomes,
        write_facts,
        archive_old_sends,
        remove_old_runs,
    ],
    schedules=[
        daily_plan_schedule,
        top_up_schedule,
        reconcile_schedule,
        health_schedule,
        outcomes_schedule,
        facts_schedule,
        archive_schedule,
        run_history_schedule,
    ],
    sensors=[timed_dispatch_sensor, delivery_results_sensor, failure_alert_sensor, check_alert_sensor],
    resources={
        "secrets": pipeline_secrets,
        "settings": pipeline_settings,
        "database": pipeline_database,
        "queues": pipeline_queues,
        "traces": pipeline_traces,
        "clock": Clock(),
        "io_manager": parquet_io_manager,
    },
    executor=locked_executor,
)

gc.freeze()  # imported objects live until the process ends, so garbage collections can skip them
