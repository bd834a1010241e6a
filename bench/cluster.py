"""Starts a Postgres for measurements: durable, as in production, but without background work."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local_stack.ports import free_port
from local_stack.postgres import Postgres

SETTINGS = {
    "shared_buffers": "4GB",
    "work_mem": "64MB",
    "maintenance_work_mem": "1GB",
    "max_wal_size": "32GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
    "jit": "off",
    "random_page_cost": "1.1",
}


@contextmanager
def measuring_postgres() -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        postgres = Postgres(Path(folder) / "postgres", free_port(), settings=SETTINGS)
        postgres.start()
        try:
            postgres.create_owner()
            yield postgres
        finally:
            postgres.stop()
