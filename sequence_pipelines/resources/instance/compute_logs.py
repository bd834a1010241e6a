"""Chooses where the logs of runs are kept: in S3 if COMPUTE_LOGS_BUCKET is set, else in a folder.

Only the settings decide, so one `dagster.yaml` serves the local stack and every deployment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dagster import Field, StringSource
from dagster._core.storage.compute_log_manager import ComputeLogManager
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._serdes import ConfigurableClass, ConfigurableClassData
from dagster_aws.s3 import S3ComputeLogManager

PREFIX = "compute-logs"
UPLOAD_SECONDS = 30  # between two uploads of the log of a run that goes on


class RunLogs(LocalComputeLogManager):
    """Is what `dagster.yaml` names; opens the log manager that the settings choose."""

    @classmethod
    def config_type(cls) -> dict[str, Field]:
        """Return the configuration: the bucket, its region and its endpoint, all optional."""
        return {name: Field(StringSource, is_required=False) for name in ("bucket", "region", "endpoint_url")}
