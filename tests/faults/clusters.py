"""Starts separate Postgres clusters, which a test may kill or fill up."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import migrations
from local_stack.ports import free_port
from local_stack.postgres import OWNER, Postgres
from tests.conftest import ROLES, TEMPLATE

# Commits survive a killed server, as in production; without fsync they do not survive a crash of the machine.
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
    """Restart as `pg_ctl -m immediate` does: all processes end at once, the start replays the WAL."""
    assert cluster._process is not None
    cluster._process.send_signal(signal.SIGQUIT)
    cluster._process.wait(20)
    cluster.start()
