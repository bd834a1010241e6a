"""Reads what earlier runs recorded in Dagster's history."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from sequence_pipelines.partitions import planning_days

RUNS_A_DAY = 30  # materializations of one day that are read at most: an hourly top-up, and repeats


def due_contacts_by_day(instance: dg.DagsterInstance, days: int) -> dict[str, float]:
    """Return the due contacts of the last `days` planning days, by ISO date.

    A day counts with its first run that read the due contacts and planned them. Later runs (top-ups) find
    the contacts that are left, and a run of another day finds that day's contacts; neither is compared.
    """
    partitions = planning_days.get_partition_keys()[-days:]
    planned = {record.run_id for record in _records(instance, "send_plan", partitions)}
    by_day: dict[str, float] = {}
    for record in _records(instance, "due_contacts", partitions):  # oldest first
        made = record.asset_materialization
        if made is None or made.partition is None or record.run_id not in planned:
            continue
        due, day = made.metadata.get("contacts_due"), made.metadata.get("planning_day")
        if due and day and day.value == made.partition:
            by_day.setdefault(made.partition, float(str(due.value)))
    return by_day


def _records(instance: dg.DagsterInstance, asset: str, partitions: Sequence[str]) -> list[dg.EventLogRecord]:
    wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=list(partitions))
    return list(
        instance.fetch_materializations(wanted, limit=RUNS_A_DAY * len(partitions), ascending=True).records
    )
