"""Each migration may be run while the release before it is at work: that release still finds all that it uses."""

from __future__ import annotations

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
# The first release makes these at once, on empty tables. From then on a table in use is not locked for long.
FIRST_RELEASE = "0019"
LONG_LOCKS = {
    r"CREATE (UNIQUE )?INDEX (?!CONCURRENTLY)": "blocks every write for as long as it builds: CONCURRENTLY",
    r"ADD (COLUMN )?\w+ [^,;]*DEFAULT (gen_random_uuid|clock_timestamp|random|nextval)": "rewrites the table",
    r"ALTER (COLUMN )?\w+ (SET DATA )?TYPE": "rewrites the table",
    r"SET NOT NULL": "reads the whole table under the strongest lock: a CHECK that is NOT VALID, then VALIDATE",
    r"ADD (CONSTRAINT \w+ )?(CHECK|FOREIGN KEY)(?!.*NOT VALID)": "reads the whole table: NOT VALID, then VALIDATE",
    r"RENAME": "the release before knows the old name",
    r"DROP (TABLE|COLUMN)": "the release before uses it: a release later",
}
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


@pytest.mark.parametrize("file", sorted(VERSIONS.glob("*.up.sql")), ids=lambda file: file.name[:4])
def test_no_migration_after_the_first_release_locks_a_table_in_use_for_long(file: Path) -> None:
    if file.name[:4] <= FIRST_RELEASE:
        return
    assert long_locks(file.read_text()) == []


def long_locks(text: str) -> list[str]:
    """Return what would lock a table that the same file does not make."""
    text = re.sub(r"\$(\w*)\$.*?\$\1\$", "", re.sub(r"--[^\n]*", "", text), flags=re.DOTALL)
    own = set(re.findall(r"CREATE (?:UNLOGGED )?TABLE (\w+)", text))
    found = []
    for statement in (" ".join(one.split()) for one in text.split(";")):
        table = re.search(r"(?:ALTER TABLE|\bON) (\w+)", statement)
        if table and table[1] not in own and re.match(r"CREATE (UNIQUE )?INDEX|ALTER TABLE|DROP", statement):
            found += [
                f"{statement[:60]}: {why}" for what, why in LONG_LOCKS.items() if re.search(what, statement)
            ]
        elif re.match(r"DROP TABLE", statement):
            found.append(statement)
    return found


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        ("CREATE INDEX a ON sends (status);", True),
        ("CREATE INDEX CONCURRENTLY a ON sends (status);", False),
        ("CREATE TABLE own (id int); CREATE INDEX a ON own (id);", False),
        ("ALTER TABLE contacts ADD COLUMN a text;", False),
        ("ALTER TABLE contacts ADD COLUMN a uuid DEFAULT gen_random_uuid();", True),
        ("ALTER TABLE contacts ALTER COLUMN name TYPE varchar(9);", True),
        ("ALTER TABLE contacts ALTER name SET NOT NULL;", True),
        ("ALTER TABLE contacts ADD CONSTRAINT a CHECK (name <> '');", True),
        ("ALTER TABLE contacts ADD CONSTRAINT a CHECK (name <> '') NOT VALID;", False),
        ("ALTER TABLE contacts RENAME name TO title;", True),
        ("ALTER TABLE contacts DROP COLUMN name;", True),
        ("DROP TABLE contacts;", True),
        ("CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ DROP TABLE x $$;", False),
    ],
)
def test_rule_knows_what_locks_for_long(text: str, bad: bool) -> None:
    assert bool(long_locks(text)) is bad


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
