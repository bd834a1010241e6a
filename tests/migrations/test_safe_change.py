"""Tests that a migration can run while the previous release does, which still finds all that it uses."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

import migrations
from local_stack.processes import wait_until
from migrations.revision import FUNCTIONS
from sequence_store.errors import UnknownSchemaError

pytestmark = pytest.mark.usefixtures("template")  # it gives the cluster its roles, with their passwords

HERE = Path(migrations.__file__).parent
VERSIONS = HERE / "versions"
BASELINE = "0001_baseline"
HEAD = migrations.revisions()[-1]
DOCUMENTED_FUNCTIONS = Path(__file__).parent / "functions.txt"
SERVICES = "('sequence_api', 'sequence_pipeline', 'sequence_worker', 'sequence_readonly')"
CATALOGUE = {
    "column": """SELECT table_name, column_name, data_type FROM information_schema.columns
        WHERE table_schema = 'public'""",
    "grant": f"""SELECT grantee, table_name, column_name, privilege_type
        FROM information_schema.column_privileges WHERE table_schema = 'public' AND grantee IN {SERVICES}
        UNION ALL SELECT grantee, table_name, '', privilege_type FROM information_schema.table_privileges
        WHERE table_schema = 'public' AND grantee IN {SERVICES}""",
}
FUNCTIONS_OF_SERVICES = f"""
    SELECT format('%s %s(%s) -> %s', r.rolname, p.proname, pg_get_function_identity_arguments(p.oid),
        pg_get_function_result(p.oid))
    FROM pg_proc p, pg_roles r WHERE p.pronamespace = 'public'::regnamespace AND r.rolname IN {SERVICES}
        AND has_function_privilege(r.oid, p.oid, 'EXECUTE') ORDER BY 1"""
# What a row that the previous release writes may not satisfy.
DEMANDS = {
    "column that must be given": """SELECT table_name, column_name FROM information_schema.columns
        WHERE table_schema = 'public' AND is_nullable = 'NO' AND column_default IS NULL
            AND is_identity = 'NO'""",
    "constraint": """SELECT c.conrelid::regclass::text, pg_get_constraintdef(c.oid), a.attname
        FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
        WHERE c.connamespace = 'public'::regnamespace AND c.contype IN ('c', 'u', 'x', 'f')""",
}
# Squawk's rules that are kept elsewhere, or are of taste.
ELSEWHERE = ("require-lock-timeout", "require-statement-timeout")  # migrations/env.py sets both
TASTE = ("prefer-bigint-over-int", "prefer-bigint-over-smallint", "prefer-text-field", "prefer-identity")


@dataclass(frozen=True)
class Catalogue:
    offers: frozenset[tuple[str, ...]]
    demands: frozenset[tuple[str, ...]]
    tables: frozenset[str]


def _read(url: str) -> Catalogue:
    with psycopg.connect(url) as connection:

        def rows(queries: dict[str, str]) -> frozenset[tuple[str, ...]]:
            return frozenset(
                (kind, *row)
                for kind, statement in queries.items()
                for row in connection.execute(statement.encode()).fetchall()
            )

        offers = rows(CATALOGUE)
        return Catalogue(offers, rows(DEMANDS), frozenset(row[1] for row in offers if row[0] == "column"))


def _breaks(before: Catalogue, after: Catalogue) -> set[tuple[str, ...]]:
    """Return what the previous release loses, and the new demands on columns that it writes.

    A constraint of new columns demands nothing of it, because their defaults satisfy it.
    """
    known = {offer[1:3] for offer in before.offers if offer[0] == "column"}
    return {
        *(before.offers - after.offers),
        *(
            demand
            for demand in after.demands - before.demands
            if demand[1] in before.tables and (demand[0] != "constraint" or (demand[1], demand[3]) in known)
        ),
    }


def test_after_each_migration_the_previous_release_finds_all_tables_columns_and_grants_that_it_uses(
    empty_database: str,
) -> None:
    first, *later = migrations.revisions()
    assert first == BASELINE
    migrations.upgrade(empty_database, first)
    before = _read(empty_database)
    for revision in later:
        migrations.upgrade(empty_database, revision)
        after = _read(empty_database)
        assert _breaks(before, after) == set(), revision
        before = after


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE steps DROP COLUMN step_name",
        "ALTER TABLE steps ALTER COLUMN step_name TYPE text",
        "ALTER TABLE contacts ADD COLUMN title text NOT NULL",
        "ALTER TABLE contacts ADD CHECK (name <> '')",
        "REVOKE UPDATE ON sends FROM sequence_pipeline",
        "DROP TABLE plan_deferrals",
    ],
)
def test_migration_that_breaks_the_previous_release_is_found(empty_database: str, statement: str) -> None:
    migrations.upgrade(empty_database)
    before = _read(empty_database)
    with psycopg.connect(empty_database) as connection:
        connection.execute(statement)  # type: ignore[arg-type]
    assert _breaks(before, _read(empty_database))


def test_functions_keep_their_arguments_results_and_callers(database: Any) -> None:
    """A changed function gets a new name; the next release drops the old one and its lines."""
    with database.connect("owner") as connection:
        found = "".join(f"{line}\n" for (line,) in connection.execute(FUNCTIONS_OF_SERVICES).fetchall())
    if os.environ.get("UPDATE_SCHEMA"):
        DOCUMENTED_FUNCTIONS.write_text(found)
    assert found == DOCUMENTED_FUNCTIONS.read_text(), "run `UPDATE_SCHEMA=1 make test ARGS=tests/migrations`"


def test_migrations_are_numbered_without_gaps_and_named_by_their_files() -> None:
    revisions = migrations.revisions()
    assert revisions == sorted(file.stem for file in VERSIONS.glob("*.py"))
    assert [int(revision[:4]) for revision in revisions] == list(range(1, len(revisions) + 1))
    assert all(re.fullmatch(r"\d{4}(_[a-z]+)+", revision) for revision in revisions)


def squawk(*paths: Path, text: str | None = None) -> set[tuple[str, str]]:
    """Return what squawk finds in files or in `text`: the file's name and the rule."""
    program = str(Path(sys.executable).parent / "squawk")
    options = [
        "--pg-version=17.0",
        "--assume-in-transaction",
        "--reporter=json",
        f"--exclude={','.join(ELSEWHERE + TASTE)}",
    ]
    found = subprocess.run(
        [program, *options, *map(str, paths)], input=text, capture_output=True, text=True, check=False
    )
    return {(Path(one["file"]).name, one["rule_name"]) for one in json.loads(found.stdout)}


def test_no_migration_after_the_baseline_and_no_function_file_locks_a_table_in_use_for_long() -> None:
    later = [file for file in VERSIONS.glob("*.up.sql") if not file.name.startswith(BASELINE)]
    assert squawk(*later, *sorted(FUNCTIONS.glob("*.sql"))) == set()


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("CREATE INDEX a ON sends (status);", "require-concurrent-index-creation"),
        ("ALTER TABLE contacts ALTER COLUMN name TYPE varchar(9);", "changing-column-type"),
        ("ALTER TABLE contacts ALTER name SET NOT NULL;", "adding-not-nullable-field"),
        ("ALTER TABLE contacts ADD CONSTRAINT a CHECK (name <> '');", "constraint-missing-not-valid"),
        ("ALTER TABLE contacts RENAME name TO title;", "renaming-column"),
        ("ALTER TABLE contacts DROP COLUMN name;", "ban-drop-column"),
        ("DROP TABLE contacts;", "ban-drop-table"),
    ],
)
def test_what_locks_for_long_or_breaks_the_release_before_is_found(statement: str, rule: str) -> None:
    assert ("stdin", rule) in squawk(text=statement)


HEAD = migrations.revisions()[-1]
NOTES = f"""
from migrations.revision import run_sql_file
revision, down_revision = "9998_notes", {HEAD!r}
def upgrade(): run_sql_file(__file__, "up")
"""
FINISHED = """
from alembic import op
revision, down_revision = "9999_finished", "9998_notes"
def upgrade():
    with op.get_context().autocommit_block():
        op.execute("CREATE INDEX CONCURRENTLY sends_finished ON sends (finished_at)")
"""


@dataclass(frozen=True)
class NextRelease:
    """A copy of the migrations with one more, which adds a column to mailboxes and changes a function."""

    folder: Path

    def write(self, name: str, text: str) -> None:
        (self.folder / "migrations" / name).write_text(text)

    def start(self, url: str, **bounds: str) -> subprocess.Popen[str]:
        program = f"import sys, migrations; migrations.upgrade(sys.argv[1], bounds={bounds})"
        return subprocess.Popen(
            [sys.executable, "-c", program, url],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": f"{self.folder}{os.pathsep}{HERE.parent}"},
            stderr=subprocess.PIPE,
            text=True,
        )

    def upgrade(self, url: str, **bounds: str) -> str:
        """Return what the migrator writes to stderr: "" if it succeeds."""
        return self.start(url, **bounds).communicate(timeout=60)[1]


@pytest.fixture
def next_release(tmp_path: Path) -> NextRelease:
    shutil.copytree(HERE, tmp_path / "migrations", ignore=shutil.ignore_patterns("__pycache__"))
    release = NextRelease(tmp_path)
    release.write("versions/9998_notes.py", NOTES)
    release.write("versions/9998_notes.up.sql", "ALTER TABLE mailboxes ADD COLUMN note text;")
    added = "CREATE OR REPLACE FUNCTION note_of(m mailboxes) RETURNS text LANGUAGE sql AS 'SELECT m.note';"
    release.write("functions/notes.sql", added)
    return release


def _state(url: str) -> tuple[str, bool, bool]:
    """Return the revision, and whether the next release's column and function are there."""
    with psycopg.connect(url) as connection:
        row: Any = connection.execute(
            "SELECT (SELECT version_num FROM alembic_version), EXISTS (SELECT FROM information_schema.columns"
            " WHERE table_name = 'mailboxes' AND column_name = 'note'), to_regproc('note_of') IS NOT NULL"
        ).fetchone()
        return row


OLD, NEW = (HEAD, False, False), ("9998_notes", True, True)


def test_migration_that_meets_a_lock_gives_up_soon_changes_nothing_and_is_run_again(
    empty_database: str, next_release: NextRelease
) -> None:
    migrations.upgrade(empty_database)
    with psycopg.connect(empty_database) as busy:
        busy.execute("SELECT * FROM mailboxes")  # a reader is enough to stop ALTER TABLE
        assert "LockNotAvailable" in next_release.upgrade(empty_database, lock_timeout="100ms")
        assert _state(empty_database) == OLD
    assert next_release.upgrade(empty_database) == ""
    assert _state(empty_database) == NEW


def test_migrator_that_is_killed_has_changed_nothing_and_another_completes(
    empty_database: str, next_release: NextRelease
) -> None:
    migrations.upgrade(empty_database)
    with psycopg.connect(empty_database) as busy:
        busy.execute("SELECT * FROM mailboxes")
        migrator = next_release.start(empty_database)
        assert wait_until(lambda: _waits(empty_database), 20)
        migrator.kill()
        migrator.communicate(timeout=10)
        assert _state(empty_database) == OLD
    assert next_release.upgrade(empty_database) == ""
    assert _state(empty_database) == NEW


def test_function_that_cannot_be_made_takes_the_migration_back_with_it(
    empty_database: str, next_release: NextRelease
) -> None:
    migrations.upgrade(empty_database)
    next_release.write(
        "functions/zones.sql", "CREATE OR REPLACE FUNCTION zone() RETURNS text RETURN no_such();"
    )
    assert "UndefinedFunction" in next_release.upgrade(empty_database)
    assert _state(empty_database) == OLD


def test_older_release_refuses_the_schema_of_a_newer_one(
    empty_database: str, next_release: NextRelease
) -> None:
    assert next_release.upgrade(empty_database) == ""
    with pytest.raises(UnknownSchemaError, match="9998_notes, which this release does not have"):
        migrations.upgrade(empty_database)
    assert _state(empty_database) == NEW


def test_migration_can_make_an_index_without_locking_its_table(
    empty_database: str, next_release: NextRelease
) -> None:
    migrations.upgrade(empty_database)
    next_release.write("versions/9999_finished.py", FINISHED)
    assert next_release.upgrade(empty_database) == ""
    assert _state(empty_database) == ("9999_finished", True, True)


def _waits(url: str) -> bool:
    with psycopg.connect(url) as connection:
        return bool(
            connection.execute(
                "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
                " AND application_name = 'sequences migrate'"
            ).rowcount
        )
