"""Postgres connections with the role `sequence_pipeline`."""

from __future__ import annotations

from typing import Any

import dagster as dg
import psycopg

from sequence_store.postgres.connection import connect
from sequence_store.settings import PipelineSettings


class Database:
    """Opens connections. A connection in a `with` block commits at its end and rolls back on an error."""

    def __init__(self, settings: PipelineSettings) -> None:
        self._url = settings.pipeline_database_url

    def connect(self, *, autocommit: bool = False) -> psycopg.Connection[Any]:
        return connect(self._url, name="sequence_pipelines", autocommit=autocommit)


@dg.resource(required_resource_keys={"settings"}, description="Postgres, with the role sequence_pipeline")
def pipeline_database(context: dg.InitResourceContext) -> Database:
    return Database(context.resources.settings)
