"""Tests with a full disk: errors are reported, nothing is half done, work continues when there is space."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from local_stack.postgres import Postgres
from tests.faults.clusters import served, with_template
from tests.faults.conftest import Chain

MEGABYTES = 160


@pytest.fixture(scope="session")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("small-disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(scope="session")
def postgres(small_disk: Path) -> Iterator[Postgres]:
    sizes = {"min_wal_size": "32MB", "max_wal_size": "32MB", "shared_buffers": "16MB"}
    with served(small_disk / "postgres", **sizes) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> str:
    return with_template(postgres)


def fill_up(folder: Path, *, leave: int) -> Path:
    """Write a file that leaves `leave` bytes free."""
    filler = folder / "filler"
    free = os.statvfs(folder)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, free.f_bavail * free.f_frsize - leave))
    return filler


def test_full_disk_stops_plan_and_mails_and_with_room_each_contact_is_mailed_once(
    chain: Chain, small_disk: Path, postgres: Postgres
) -> None:
    chain.enrol(5)
    chain.plan()
    sequence = chain.world.one("SELECT id FROM sequences")
    chain.world.run(
        "INSERT INTO contacts (id, name, mail_address) "
        "SELECT n, 'Bob', 'bob' || n || '@people.example' FROM generate_series(1000, 40000) n"
    )
    chain.world.run(
        "INSERT INTO sequences_contacts (sequence_id, contact_id, next_send) "
        "SELECT %s, id, %s FROM contacts WHERE id >= 1000",
        sequence,
        chain.today,
    )
    filler = fill_up(small_disk, leave=1_000_000)
    with pytest.raises((psycopg.errors.DiskFull, psycopg.OperationalError)):
        chain.plan()
    assert "No space left on device" in postgres.log_file.read_text()
    filler.unlink()
    chain.reconnect()
    assert chain.statuses() == {"planned": 5}
    chain.world.run("DELETE FROM sequences_contacts WHERE contact_id >= 1000")
    chain.dispatch()
    chain.start_worker()
    chain.run_until(lambda: chain.advanced() == 5)
    chain.assert_each_was_mailed_once(5)
