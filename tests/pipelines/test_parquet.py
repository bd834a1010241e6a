"""Tests the Parquet I/O manager, with a folder and with S3."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import boto3
import dagster as dg
import pandas as pd
import pytest
from pyarrow import fs

from sequence_pipelines.resources.parquet import ParquetIOManager

FRAME = pd.DataFrame({"contact_id": [3, 1, 2], "due_day": pd.to_datetime(["2026-06-15"] * 3)})


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Yield an empty ASSET_STORE: a folder, or a bucket of the session's S3 server."""
    if request.param == "folder":
        yield str(tmp_path / "assets")
        return
    endpoint: str = request.getfixturevalue("sqs")
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    bucket = f"assets-{uuid4().hex}"
    client.create_bucket(Bucket=bucket)
    yield f"s3://{bucket}/production?region=us-east-1&scheme=http&endpoint_override={endpoint[7:]}"
    client.close()


def write(store: str, frame: pd.DataFrame, day: str, run_id: str = "a-run") -> None:
    context = dg.build_output_context(asset_key=dg.AssetKey("due_contacts"), partition_key=day, run_id=run_id)
    ParquetIOManager(store).handle_output(context, frame)


def read(store: str, day: str) -> pd.DataFrame:
    upstream = dg.build_input_context(asset_key=dg.AssetKey("due_contacts"), partition_key=day)
    return ParquetIOManager(store).load_input(upstream)


def test_a_frame_comes_back_as_it_was_and_a_later_run_replaces_it(store: str) -> None:
    write(store, FRAME, "2026-06-15")
    write(store, FRAME.head(0), "2026-06-16")
    pd.testing.assert_frame_equal(read(store, "2026-06-15"), FRAME)
    write(store, FRAME.head(1), "2026-06-15", run_id="a-later-run")
    assert (len(read(store, "2026-06-15")), len(read(store, "2026-06-16"))) == (1, 0)


def test_no_partial_file_remains(store: str) -> None:
    write(store, FRAME, "2026-06-15")
    manager = ParquetIOManager(store)
    found = manager._files.get_file_info(fs.FileSelector(manager._root, recursive=True))
    assert [one.base_name for one in found if one.is_file] == ["2026-06-15.parquet"]
