"""Tests that migrations and functions give the documented schema: new, repeated, back, in parallel."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import psycopg
import pytest

import migrations
from local_stack.postgres import Postgres, binaries
from migrations.revision import FUNCTIONS
from sequence_store.errors import UnknownSchemaError

pytestmark = pytest.mark.usefixtures("template")  # it gives the cluster its roles, with their passwords

ROOT = Path(__file__).parents[2]
DOCUMENTED = ROOT / "migrations" / "schema.sql"
QUERIES = ROOT / "sequence_store" / "postgres" / "sql"
DEFINITION = re.compile(r"CREATE (?:OR REPLACE )?(?:FUNCTION|PROCEDURE|VIEW) (\w+)")
SCHEMA = ("--schema-only", "--exclude-table=alembic_version", "--no-owner")
TABLES_ALONE = "--table=public.*"


def dump(postgres: Postgres, url: str, *options: str) -> str:
    """Return the schema as pg_dump prints it, without its remarks, settings and Alembic's own table."""
    text = subprocess.run(
        [*postgres.run_as.prefix, binaries() / "pg_dump", *SCHEMA, *options, url],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    left_out = ("--", "SET ", "SELECT pg_catalog", "\\restrict", "\\unrestrict")
    return "\n".join(line for line in text.splitlines() if line and not line.startswith(left_out)) + "\n"


def functions_of(url: str) -> set[str]:
    """Return the names of the functions and views."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace UNION ALL "
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'v'"
        )
        return {name for (name,) in rows}


def defined_functions() -> Counter[str]:
    return Counter(name for file in FUNCTIONS.glob("*.sql") for name in DEFINITION.findall(file.read_text()))


def test_migrations_give_the_documented_schema(postgres: Postgres, empty_database: str) -> None:
    migrations.upgrade(empty_database)
    schema = dump(postgres, empty_database, TABLES_ALONE)
    if os.environ.get("UPDATE_SCHEMA"):
        DOCUMENTED.write_text(schema)
    assert schema == DOCUMENTED.read_text(), "run `UPDATE_SCHEMA=1 make test ARGS=tests/migrations`"


def test_every_table_says_what_a_row_of_it_is(postgres: Postgres, empty_database: str) -> None:
    migrations.upgrade(empty_database)
    with psycopg.connect(empty_database) as connection:
        rows = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
            " AND relname <> 'alembic_version' AND obj_description(oid, 'pg_class') IS NULL"
        ).fetchall()
    assert rows == []


def test_each_function_is_defined_once_in_the_topic_files_and_nowhere_else(empty_database: str) -> None:
    migrations.upgrade(empty_database)
    assert set(defined_functions().values()) == {1}
    assert set(defined_functions()) == functions_of(empty_database)
    in_versions = [file.read_text() for file in (ROOT / "migrations" / "versions").glob("*.sql")]
    assert not any(DEFINITION.search(text) for text in in_versions)


def test_each_function_is_used_by_a_query_a_table_or_another_function() -> None:
    texts = {file: file.read_text() for folder in (FUNCTIONS, QUERIES) for file in folder.glob("*.sql")}
    texts[DOCUMENTED] = DOCUMENTED.read_text()
    texts |= {file: file.read_text() for file in (ROOT / "crud_api").rglob("*.py")}
    remarks = re.compile(r"--.*|CREATE OR REPLACE FUNCTION \w+|^(?:GRANT|REVOKE) [^;]*;", re.MULTILINE)
    code = remarks.sub("", "\n".join(texts.values()))
    for_operators = {"park_mailbox"}  # docs/runbook.md
    for_previous_release = {"finish_send"}
    unused = {name for name in defined_functions() if not re.search(rf"\b{name}\b", code)}
    assert unused - for_operators - for_previous_release == set()


def test_migrating_again_changes_nothing_and_restores_what_a_function_does_and_who_may_call_it(
    postgres: Postgres, empty_database: str
) -> None:
    migrations.upgrade(empty_database)
    before = dump(postgres, empty_database)
    migrations.upgrade(empty_database)
    assert dump(postgres, empty_database) == before
    with psycopg.connect(empty_database) as connection:
        connection.execute(
            "CREATE OR REPLACE FUNCTION is_follow_up(last_send date, mailbox_id bigint) RETURNS boolean"
            " LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN false"
        )
        connection.execute("GRANT EXECUTE ON FUNCTION closed_gate TO sequence_readonly, PUBLIC")
        connection.execute("REVOKE EXECUTE ON FUNCTION claim_send FROM sequence_worker")
    assert dump(postgres, empty_database) != before
    migrations.upgrade(empty_database)
    assert dump(postgres, empty_database) == before


def test_migrating_a_database_that_is_up_to_date_waits_for_no_table(empty_database: str) -> None:
    migrations.upgrade(empty_database)
    with psycopg.connect(empty_database) as busy:
        busy.execute("LOCK TABLE contacts, sends, sequences_contacts IN ROW EXCLUSIVE MODE")  # an import, say
        migrations.upgrade(empty_database, bounds={"lock_timeout": "100ms"})


def test_down_to_empty_and_up_again_gives_the_same_schema(postgres: Postgres, empty_database: str) -> None:
    migrations.upgrade(empty_database)
    before = dump(postgres, empty_database)
    migrations.downgrade(empty_database)
    after = dump(postgres, empty_database)
    assert "CREATE" not in after
    assert "TO sequence_" not in after
    assert functions_of(empty_database) == set()
    migrations.upgrade(empty_database)
    assert dump(postgres, empty_database) == before


def test_two_migrators_at_once_make_one_schema(postgres: Postgres, empty_database: str) -> None:
    command = [
        sys.executable,
        "-c",
        "import sys, migrations; migrations.upgrade(sys.argv[1])",
        empty_database,
    ]
    for _ in ("an empty database", "one that is up to date"):
        migrators = [subprocess.Popen(command) for _ in range(2)]
        assert [migrator.wait() for migrator in migrators] == [0, 0]
        assert dump(postgres, empty_database, TABLES_ALONE) == DOCUMENTED.read_text()
        assert functions_of(empty_database) == set(defined_functions())


@pytest.mark.parametrize(
    ("revision", "advice"), [("0017", "make clean"), ("0002_something_newer", "Use the release")]
)
def test_database_of_an_unknown_revision_is_left_as_it_is(
    empty_database: str, revision: str, advice: str
) -> None:
    with psycopg.connect(empty_database) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
        connection.execute("INSERT INTO alembic_version VALUES (%s)", (revision,))
    with pytest.raises(UnknownSchemaError, match=f"revision {revision}.*{advice}"):
        migrations.upgrade(empty_database)
    assert functions_of(empty_database) == set()


def test_sequences_migrate_says_in_one_line_that_an_old_local_database_must_be_made_anew(
    empty_database: str, tmp_path: Path
) -> None:
    with psycopg.connect(empty_database) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
        connection.execute("INSERT INTO alembic_version VALUES ('0017')")
    ended = subprocess.run(
        [Path(sys.executable).parent / "sequences", "migrate"],
        env={**os.environ, "DATABASE_URL": empty_database},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        "Error: The local database is from before the baseline (revision 0017) and cannot be migrated."
        " Delete it with `make clean` and start again.\n"
    )


def test_an_existing_role_keeps_its_password(postgres: Postgres, template: str, empty_database: str) -> None:
    migrations.upgrade(empty_database, role_passwords={"sequence_api": "another"})
    with psycopg.connect(postgres.url("sequence_api", template)) as connection:
        assert connection.execute("SELECT session_user").fetchone() == ("sequence_api",)


def test_each_advisory_lock_has_one_purpose() -> None:
    """With one number for two purposes, each would wait for the other without a reason."""
    files = [*sorted(FUNCTIONS.glob("*.sql")), *sorted(QUERIES.glob("*.sql"))]
    taken = {7_236_001: "migrations/env.py"}
    for file in files:
        for number in re.findall(r"pg_(?:try_)?advisory_(?:xact_)?lock(?:_shared)?\((\d+)", file.read_text()):
            assert taken.setdefault(int(number), file.name) == file.name, number
    assert len(taken) > 4
