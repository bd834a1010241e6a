"""Tests of the Postgres cluster: crashes, restarts, privileges, versions."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from local_stack.errors import BinaryMissingError, PrivilegeError, StartError
from local_stack.ports import free_port
from local_stack.postgres import OWNER, SUPERUSER, Postgres
from tests.conftest import QUICK, Database


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Postgres]:
    cluster = Postgres(tmp_path / "postgres", free_port(), settings={"fsync": "off"})
    cluster.start()
    yield cluster
    cluster.stop()


def test_data_survives_kill_9_under_a_writer(cluster: Postgres) -> None:
    with closing(psycopg.connect(cluster.url(SUPERUSER), autocommit=True)) as writer:
        writer.execute("CREATE TABLE kept AS SELECT 1 AS n")
        writer.execute("BEGIN")
        writer.execute("INSERT INTO kept VALUES (2)")
        assert cluster._process
        cluster._process.kill()
        cluster._process.wait()
    cluster.start()
    with psycopg.connect(cluster.url(SUPERUSER)) as reader:
        assert reader.execute("SELECT n FROM kept").fetchall() == [(1,)]


def test_starts_although_another_process_has_the_pid_of_a_killed_server(cluster: Postgres) -> None:
    assert cluster._process
    cluster._process.kill()
    cluster._process.wait()
    lock = cluster.data / "postmaster.pid"
    with subprocess.Popen(["sleep", "1000"]) as other:
        lock.write_text(str(other.pid) + "\n" + lock.read_text().partition("\n")[2])
        try:
            cluster.start()
        finally:
            other.kill()
    assert cluster.ready()


def test_stopped_cluster_leaves_no_process_and_starts_with_its_data(cluster: Postgres) -> None:
    cluster.create_owner()
    cluster.create_database("kept")
    process = cluster._process
    cluster.stop()
    assert process
    assert process.returncode == 0
    cluster.port = free_port()
    cluster.start()
    with psycopg.connect(cluster.url(OWNER, "kept")) as connection:
        assert connection.info.dbname == "kept"


def test_wrong_password_is_refused(postgres: Postgres) -> None:
    url = postgres.url(SUPERUSER).replace(postgres.password(SUPERUSER), "guess")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url)


def test_listens_on_loopback_alone_with_checksums_and_a_locale_of_its_own(postgres: Postgres) -> None:
    with psycopg.connect(postgres.url(SUPERUSER)) as connection:
        shown = [
            connection.execute(f"SHOW {name}").fetchone()  # type: ignore[call-overload]
            for name in ("listen_addresses", "unix_socket_directories", "data_checksums", "TimeZone")
        ]
        assert shown == [("127.0.0.1",), ("",), ("on",), ("UTC",)]
        provider = "SELECT datlocprovider, datlocale FROM pg_database WHERE datname = 'postgres'"
        assert connection.execute(provider).fetchone() == ("b", "C.UTF-8")


def test_owner_makes_roles_and_databases_but_is_no_superuser(database: Database) -> None:
    with database.connect("owner") as connection:
        query = "SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = current_user"
        assert connection.execute(query).fetchone() == (False, True, True)


def test_secrets_are_readable_by_their_owner_alone(cluster: Postgres) -> None:
    assert (cluster.folder / "passwords.json").stat().st_mode & 0o077 == 0
    assert cluster.data.stat().st_mode & 0o077 == 0


def test_data_of_another_version_is_rejected(cluster: Postgres) -> None:
    cluster.stop()
    (cluster.data / "PG_VERSION").write_text("16\n")
    with pytest.raises(StartError, match=r"made by Postgres 16.*PG_BIN"):
        cluster.start()


def test_failed_start_shows_the_log(tmp_path: Path) -> None:
    cluster = Postgres(tmp_path / "postgres", free_port(), settings=QUICK | {"work_mem": "a lot"})
    with pytest.raises(StartError, match="work_mem"):
        cluster.start()


def test_missing_binaries_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PG_BIN", str(tmp_path))
    with pytest.raises(BinaryMissingError, match="PG_BIN"):
        Postgres(tmp_path / "postgres", free_port()).start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root drops privileges")
def test_root_without_namespaces_in_a_private_folder_is_rejected(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(PrivilegeError, match="ordinary user"):
        Postgres(tmp_path / "postgres", free_port(), namespaces=False).start()
