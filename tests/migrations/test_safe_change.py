"""Each migration may be run while the release before it is at work: that release still finds all that it uses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

import migrations
from local_stack.processes import wait_until

pytestmark = pytest.mark.usefixtures("template")  # it gives the cluster its roles, with their passwords

VERSIONS = Path(migrations.__file__).parent / "versions"
SERVICES = "('sequence_api', 'sequence_pipeline', 'sequence_worker', 'sequence_readonly')"
CATALOGUE = {
    "column": "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'",
    "function": f"""SELECT p.proname, pg_get_function_identity_arguments(p.oid), pg_get_function_result(p.oid), r.rolname
        FROM pg_proc p, pg_roles r WHERE p.pronamespace = 'public'::regnamespace AND r.rolname IN {SERVICES}
        AND has_function_privilege(r.oid, p.oid, 'EXECUTE')""",
    "grant": f"""SELECT grantee, table_name, column_name, privilege_type FROM information_schema.column_privileges
        WHERE table_schema = 'public' AND grantee IN {SERVICES}
        UNION ALL SELECT grantee, table_name, '', privilege_type FROM information_schema.table_privileges
        WHERE table_schema = 'public' AND grantee IN {SERVICES}""",
}
# What a row that the release before writes might not fulfil.
DEMANDS = {
    "column that must be given": """SELECT table_name, column_name FROM information_schema.columns
        WHERE table_schema = 'public' AND is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO'""",
    "constraint": """SELECT c.conrelid::regclass::text, pg_get_constraintdef(c.oid) FROM pg_constraint c
        WHERE c.connamespace = 'public'::regnamespace AND c.contype IN ('c', 'u', 'x', 'f')""",
}
# The first release makes what it has on empty tables. From then on a table in use is not locked for long.
FIRST_RELEASE = "0019"
OF_NO_HARM_ON_EMPTY_TABLES = {
    "adding-field-with-default",
    "ban-drop-function",
    "disallowed-unique-constraint",
    "require-concurrent-index-creation",
    "require-concurrent-index-deletion",
}
# Squawk's rules that are kept elsewhere, or are of taste.
ELSEWHERE = ("require-lock-timeout", "require-statement-timeout")  # migrations/env.py sets both
TASTE = ("prefer-bigint-over-int", "prefer-bigint-over-smallint", "prefer-text-field", "prefer-identity")
# Taken back before the first release.
TAKEN_BACK = {"park_after_unknowns"}
BEFORE_0007 = migrations.revisions()[migrations.revisions().index("0007") - 1]


@dataclass(frozen=True)
class Catalogue:
    offers: frozenset[tuple[str, ...]]
    demands: frozenset[tuple[str, ...]]
    tables: frozenset[str]


def _read(url: str) -> Catalogue:
    with psycopg.connect(url) as connection:

        def rows(queries: dict[str, str]) -> frozenset[tuple[str, ...]]:
            return frozenset((kind, *row) for kind, sql in queries.items() for row in connection.execute(sql))  # type: ignore[arg-type]

        offers = rows(CATALOGUE)
        return Catalogue(offers, rows(DEMANDS), frozenset(row[1] for row in offers if row[0] == "column"))


def test_what_the_release_before_uses_is_there_after_each_migration_and_nothing_new_is_asked_of_it(
    empty_database: str,
) -> None:
    numbers = migrations.revisions()
    migrations.upgrade(empty_database, "0003")  # with the roles
    before = _read(empty_database)
    for revision in numbers[numbers.index("0003") + 1 :]:
        migrations.upgrade(empty_database, revision)
        after = _read(empty_database)
        gone = {offer for offer in before.offers - after.offers if offer[1] not in TAKEN_BACK}
        assert gone == set(), revision
        asked = {demand for demand in after.demands - before.demands if demand[1] in before.tables}
        assert {demand for demand in asked if not _fulfilled(demand)} == set(), revision
        before = after


def _fulfilled(demand: tuple[str, ...]) -> bool:
    """Return whether a row without the new columns fulfils a demand: an identity, a default or null does."""
    return demand[0] == "constraint" and (
        demand[2].startswith("UNIQUE (") or re.fullmatch(r"CHECK \(+(imap|smtp)_\w+.*", demand[2]) is not None
    )


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


def test_no_migration_after_the_first_release_locks_a_table_in_use_for_long() -> None:
    found = squawk(*sorted(VERSIONS.glob("*.up.sql")))
    first = {rule for name, rule in found if name[:4] <= FIRST_RELEASE}
    later = {(name, rule) for name, rule in found if name[:4] > FIRST_RELEASE}
    assert first <= OF_NO_HARM_ON_EMPTY_TABLES
    assert later == set()


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


def test_migration_that_meets_a_lock_gives_up_soon_changes_nothing_and_is_run_again(
    empty_database: str,
) -> None:
    head = migrations.revisions()[-1]
    migrations.upgrade(empty_database, BEFORE_0007)
    with psycopg.connect(empty_database) as busy:
        busy.execute("SELECT * FROM mailboxes")  # a reader is enough to stop ALTER TABLE
        with pytest.raises(psycopg.errors.LockNotAvailable):
            migrations.upgrade(empty_database, "0007", bounds={"lock_timeout": "100ms"})
        assert _revision(empty_database) == BEFORE_0007
    migrations.upgrade(empty_database)
    assert _revision(empty_database) == head


def test_migrator_that_is_killed_has_changed_nothing_and_another_completes(empty_database: str) -> None:
    migrations.upgrade(empty_database, BEFORE_0007)
    program = "import sys, migrations; migrations.upgrade(sys.argv[1])"
    with psycopg.connect(empty_database) as busy:
        busy.execute("SELECT * FROM mailboxes")
        migrator = subprocess.Popen([sys.executable, "-c", program, empty_database])
        assert wait_until(lambda: _waits(empty_database), 20)
        migrator.kill()
        migrator.wait(10)
        assert _revision(empty_database) == BEFORE_0007
    migrations.upgrade(empty_database)
    assert _revision(empty_database) == migrations.revisions()[-1]


def _revision(url: str) -> str:
    with psycopg.connect(url) as connection:
        row: Any = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(row[0])


def _waits(url: str) -> bool:
    with psycopg.connect(url) as connection:
        return bool(
            connection.execute(
                "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
                " AND application_name = 'sequences migrate'"
            ).rowcount
        )
