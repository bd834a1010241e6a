"""Chooses where the logs of runs are kept: in S3 if COMPUTE_LOGS_BUCKET is set, else Dagster's home folder.

Only the setting decides, so the local stack, the image and Compose share one `deploy/dagster.yaml`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dagster import Field, StringSource
from dagster._core.instance.ref import compute_logs_directory
from dagster._core.storage.compute_log_manager import ComputeLogManager
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._serdes import ConfigurableClassData
from dagster_aws.s3 import S3ComputeLogManager

from sequence_store.settings import RunLogSettings, read_settings

PREFIX = "compute-logs"
UPLOAD_SECONDS = 30  # between two uploads of the log of a run that has not ended


class RunLogs(LocalComputeLogManager):
    """The class that `deploy/dagster.yaml` names: it opens the log manager that the setting chooses."""

    @classmethod
    def config_type(cls) -> dict[str, Field]:
        """Return the configuration: Dagster's home folder."""
        return {"home": Field(StringSource)}

    @classmethod
    def from_config_value(  # type: ignore[override]
        cls, inst_data: ConfigurableClassData | None, config_value: dict[str, Any]
    ) -> ComputeLogManager:
        """Return the log manager; AWS_ENDPOINT_URL_S3 names an S3 that is not Amazon's."""
        folder = compute_logs_directory(config_value["home"])
        settings = read_settings(RunLogSettings)
        if settings.compute_logs_bucket is None:
            return LocalComputeLogManager(folder, inst_data=inst_data)
        return S3ComputeLogManager(
            bucket=settings.compute_logs_bucket,
            local_dir=str(Path(folder)),
            prefix=PREFIX,
            region=settings.aws_region,
            upload_interval=UPLOAD_SECONDS,
            inst_data=inst_data,
        )
