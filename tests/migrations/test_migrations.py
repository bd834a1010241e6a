"""The migrations give exactly the documented schema, from empty, down to empty and up again."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

import migrations
from local_stack.postgres import Postgres, binaries

pytestmark = pytest.mark.usefixtures("template")  # it gives the cluster its roles, with their passwords

DOCUMENTED = Path(__file__).parents[2] / "migrations" / "schema.sql"


def dump(postgres: Postgres, url: str) -> str:
    """Return the schema as pg_dump prints it, without comments, settings and Alembic's own table."""
    text = subprocess.run(
        [
            *postgres.run_as.prefix,
            binaries() / "pg_dump",
            "--schema-only",
            "--exclude-table=alembic_version",
            "--no-owner",
            url,
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    lines = text.splitlines()
    kept = [
        line
        for line in lines
        if line and not line.startswith(("--", "SET ", "SELECT pg_catalog", "\\restrict", "\\unrestrict"))
    ]
    return "\n".join(kept) + "\n"


def test_migrations_give_the_documented_schema(postgres: Postgres, empty_database: str) -> None:
    migrations.upgrade(empty_database)
    schema = dump(postgres, empty_database)
    if os.environ.get("UPDATE_SCHEMA"):
        DOCUMENTED.write_text(schema)
    assert schema == DOCUMENTED.read_text(), "run `UPDATE_SCHEMA=1 make test ARGS=tests/migrations`"


def test_down_to_empty_and_up_again_gives_the_same_schema(postgres: Postgres, empty_database: str) -> None:
    empty = dump(postgres, empty_database)
    migrations.upgrade(empty_database)
    migrations.downgrade(empty_database)
    assert "CREATE" not in dump(postgres, empty_database)
    migrations.upgrade(empty_database)
    assert dump(postgres, empty_database) == DOCUMENTED.read_text()
    assert "CREATE" not in empty


def test_two_migrators_at_once_make_one_schema(postgres: Postgres, empty_database: str) -> None:
    command = [
        sys.executable,
        "-c",
        "import sys, migrations; migrations.upgrade(sys.argv[1])",
        empty_database,
    ]
    migrators = [subprocess.Popen(command) for _ in range(2)]
    assert [migrator.wait() for migrator in migrators] == [0, 0]
    assert dump(postgres, empty_database) == DOCUMENTED.read_text()


def test_an_existing_role_keeps_its_password(postgres: Postgres, template: str, empty_database: str) -> None:
    migrations.upgrade(empty_database, role_passwords={"sequence_api": "another"})
    with psycopg.connect(postgres.url("sequence_api", template)) as connection:
        assert connection.execute("SELECT session_user").fetchone() == ("sequence_api",)


def test_each_advisory_lock_has_one_purpose() -> None:
    """A number that two would share makes one of them wait for what it has nothing to do with."""
    root = Path(__file__).parents[2]
    schema, *files = DOCUMENTED, *sorted((root / "sequence_store" / "sql").glob("*.sql"))
    taken = {7_236_001: "migrations/env.py"}
    for file in (schema, *files):
        for number in re.findall(r"pg_(?:try_)?advisory_(?:xact_)?lock(?:_shared)?\((\d+)", file.read_text()):
            assert taken.setdefault(int(number), file.name) == file.name, number
