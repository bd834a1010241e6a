from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from dagster import DagsterInstance

ROOT = Path(__file__).parents[2]


def test_instance_opens_on_postgres_with_telemetry_off(
    empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_DATABASE_URL", empty_database.replace("postgresql:", "postgresql+psycopg2:"))
    (tmp_path / "dagster.yaml").symlink_to(ROOT / "dagster.yaml")
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.get_runs_count() == 0
        assert not instance.telemetry_enabled
        assert instance.run_monitoring_enabled
        assert instance.run_retries_enabled
        assert not instance.run_retries_retry_on_asset_or_op_failure


def test_backfills_leave_slots_for_dispatch() -> None:
    runs = yaml.safe_load((ROOT / "dagster.yaml").read_text())["concurrency"]["runs"]
    limits = {limit["key"]: limit["limit"] for limit in runs["tag_concurrency_limits"]}
    assert limits["dagster/backfill"] + 4 <= runs["max_concurrent_runs"]  # and one each for four jobs
