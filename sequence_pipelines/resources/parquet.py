"""I/O manager that stores DataFrames as Parquet, one file per partition, in a folder or in S3."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pandas as pd
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq

from sequence_store.settings import PipelineSettings


class ParquetIOManager(dg.IOManager):
    """Writes a file under the run's id and renames it, so a reader gets the new frame or the previous one."""

    def __init__(self, store: str) -> None:
        uri = store if "://" in store else Path(store).absolute().as_uri()
        self._files, self._root = pa.fs.FileSystem.from_uri(uri)

    def handle_output(self, context: dg.OutputContext, obj: pd.DataFrame) -> None:
        path = self._path(context)
        written = f"{path}.{context.run_id}.part"
        self._files.create_dir(path.rpartition("/")[0], recursive=True)
        pq.write_table(pa.Table.from_pandas(obj, preserve_index=False), written, filesystem=self._files)
        self._files.move(written, path)
        context.add_output_metadata({"dagster/partition_row_count": len(obj), "path": path})

    def load_input(self, context: dg.InputContext) -> pd.DataFrame:
        columns = (context.definition_metadata or {}).get(
            "columns"
        )  # set by AssetIn: the columns that the asset uses
        try:
            return pq.read_table(self._path(context), columns=columns, filesystem=self._files).to_pandas()
        except FileNotFoundError:
            name, day = context.asset_key.to_user_string(), context.asset_partition_key
            raise dg.Failure(
                f"There is no `{name}` for {day}: it was never materialized, or its file was deleted. "
                "Materialize the day with the job `daily_plan`, which also materializes what its "
                f"assets read: Jobs, daily_plan, Materialize all, {day}.",
                metadata={"asset": dg.MetadataValue.asset(context.asset_key), "partition": day},
                allow_retries=False,
            ) from None

    def _path(self, context: dg.InputContext | dg.OutputContext) -> str:
        return "/".join([self._root, *context.asset_key.path, f"{context.asset_partition_key}.parquet"])


@dg.io_manager(required_resource_keys={"settings"}, description="Parquet files in ASSET_STORE")
def parquet_io_manager(context: dg.InitResourceContext) -> ParquetIOManager:
    settings: PipelineSettings = context.resources.settings
    return ParquetIOManager(settings.asset_store)
