"""Removes finished runs with their events, evaluations of checks and logs, and keeps what is still read."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._core.storage.tags import BACKFILL_ID_TAG

BATCH = 500


@dataclass(frozen=True)
class RemovedBatch:
    """The runs that a batch examined and removed; all older runs are done."""

    examined: int
    removed: int
    upto: datetime


def remove_old_runs(
    instance: dg.DagsterInstance,
    now: datetime,
    days: int,
    *,
    check_keys: Collection[dg.AssetCheckKey] = (),
    read_by_checks: Mapping[dg.AssetKey, timedelta] | None = None,
    batch: int = BATCH,
) -> Iterator[RemovedBatch]:
    """Remove the runs that ended more than `days` before `now`, oldest first; yield after each batch.

    These runs are kept: a run that holds the latest materialization of a partition or of an asset, or the
    latest evaluation of one of `check_keys`; a run of a backfill that has not ended; and a run that
    materialized an asset in `read_by_checks`, for as long as a check reads its history. The evaluations of
    checks are removed with their run.
    """
    keeper = _Keeper(instance, now, check_keys, read_by_checks or {})
    before = now - timedelta(days=days)
    after: str | None = None
    while True:
        records = instance.get_run_records(
            dg.RunsFilter(statuses=FINISHED_STATUSES, updated_before=before),
            limit=batch,
            ascending=True,
            cursor=after,
        )
        if not records:
            return
        kept = [record.dagster_run.run_id for record in records if keeper.keeps(record)]
        gone = {record.dagster_run.run_id for record in records}.difference(kept)
        for run_id in gone:
            _remove(instance, run_id)
        _remove_evaluations(instance, gone)
        # A run that was removed cannot be a cursor: the next batch starts after the last one that was kept.
        after = kept[-1] if kept else after
        yield RemovedBatch(len(records), len(records) - len(kept), records[-1].update_timestamp)


def _remove(instance: dg.DagsterInstance, run_id: str) -> None:
    logs = instance.compute_log_manager
    if isinstance(logs, LocalComputeLogManager):  # a bucket removes old logs by its own rule
        logs.delete_logs(prefix=[run_id])
    instance.delete_run(run_id)


def _remove_evaluations(instance: dg.DagsterInstance, runs: Collection[str]) -> None:
    """Remove the evaluations of checks of removed runs, which Dagster itself never removes."""
    storage = instance.event_log_storage
    if not runs or not isinstance(storage, SqlEventLogStorage):
        return
    with storage.index_connection() as connection:
        connection.execute(
            AssetCheckExecutionsTable.delete().where(AssetCheckExecutionsTable.c.run_id.in_(sorted(runs)))
        )


class _Keeper:
    """Decides which runs are kept."""

    def __init__(
        self,
        instance: dg.DagsterInstance,
        now: datetime,
        check_keys: Collection[dg.AssetCheckKey],
        read_by_checks: Mapping[dg.AssetKey, timedelta],
    ) -> None:
        self._instance = instance
        self._read_after = {key: (now - age).timestamp() for key, age in read_by_checks.items()}
        checks = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(check_keys))
        self._of_checks = {execution.run_id for execution in checks.values()}
        self._latest: dict[tuple[bool, dg.AssetKey, str | None], str | None] = {}
        self._backfills: dict[str, bool] = {}

    def keeps(self, record: dg.RunRecord) -> bool:
        run = record.dagster_run
        if run.run_id in self._of_checks or self._is_in_open_backfill(run):
            return True
        kinds = {dg.DagsterEventType.ASSET_MATERIALIZATION, dg.DagsterEventType.ASSET_OBSERVATION}
        return any(
            self._keeps_event(run.run_id, event.event_log_entry.dagster_event, event.timestamp)
            for event in self._instance.get_records_for_run(run.run_id, of_type=kinds).records
        )

    def _keeps_event(self, run_id: str, event: dg.DagsterEvent | None, at: float) -> bool:
        if event is None or event.asset_key is None:
            return False
        if at > self._read_after.get(event.asset_key, math.inf):
            return True
        made = event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION
        return self._latest_run(event.asset_key, event.partition, made=made) == run_id

    def _latest_run(self, key: dg.AssetKey, partition: str | None, *, made: bool) -> str | None:
        """Return the run of the latest materialization or observation of the partition."""
        if (made, key, partition) not in self._latest:
            fetch = self._instance.fetch_materializations if made else self._instance.fetch_observations
            wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=partition and [partition])
            found = fetch(wanted, limit=1).records
            self._latest[made, key, partition] = found[0].run_id if found else None
        return self._latest[made, key, partition]

    def _is_in_open_backfill(self, run: dg.DagsterRun) -> bool:
        name = run.tags.get(BACKFILL_ID_TAG)
        if name is None:
            return False
        if name not in self._backfills:
            backfill = self._instance.get_backfill(name)
            self._backfills[name] = backfill is not None and (
                backfill.status not in BULK_ACTION_TERMINAL_STATUSES
            )
        return self._backfills[name]
