"""Clusters of a test file's own, which may be killed or filled up without harm to the session's."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import migrations
from local_stack.ports import free_port
from local_stack.postgres import OWNER, Postgres
from tests.conftest import ROLES, TEMPLATE

# Commits are durable against a killed server, as in production; only the machine's own failure is not provided for.
DURABLE = {"fsync": "off", "max_connections": "60"}


@contextmanager
def served(folder: Path, **settings: str) -> Iterator[Postgres]:
    cluster = Postgres(folder, free_port(), settings=DURABLE | settings)
    cluster.start()
    try:
        cluster.create_owner()
        yield cluster
    finally:
        cluster.stop()


def with_template(cluster: Postgres) -> str:
    cluster.create_database(TEMPLATE)
    passwords = {f"sequence_{role}": cluster.password(f"sequence_{role}") for role in ROLES}
    migrations.upgrade(cluster.url(OWNER, TEMPLATE), role_passwords=passwords)
    return TEMPLATE


def restart_immediately(cluster: Postgres) -> None:
    """Do as `pg_ctl -m immediate restart`: every process ends at once, and the next start recovers from the log."""
    assert cluster._process is not None
    cluster._process.send_signal(signal.SIGQUIT)
    cluster._process.wait(20)
    cluster.start()
