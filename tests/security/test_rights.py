"""Tests of each role's rights beyond the table grants, which tests/migrations/test_grants.py covers."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from sequence_store.postgres.connection import connect
from step_mailing_worker.store import Store

BOUNDS = (
    "SELECT current_setting('idle_in_transaction_session_timeout') AS idle,"
    " current_setting('statement_timeout') AS statement"
)
ROLES = ("api", "pipeline", "worker", "readonly")
REFUSED = {
    "api": (
        "UPDATE sends SET status = 'sent'",
        "DELETE FROM sends",
        "INSERT INTO api_keys (key_name, key_hash, scopes) VALUES ('own', 'x', '{all}')",
        "UPDATE mailbox_days SET used = 0",
        "DELETE FROM contacts",
        "SELECT resolve_send(1, 1, 1, 1, 'sent')",
    ),
    "pipeline": (
        "SELECT * FROM api_keys",
        "UPDATE contacts SET mail_address = 'me@example.com'",
        "UPDATE mailboxes SET smtp_host = 'example.com'",
        "DELETE FROM sends",
        "DELETE FROM suppressions",
        "SELECT finish_send(1, 1, 1, 1, NULL, 'sent', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
    ),
    "worker": (
        "SELECT * FROM contacts",
        "SELECT * FROM sends",
        "SELECT * FROM mailboxes",
        "UPDATE sends SET status = 'sent'",
        "INSERT INTO suppressions VALUES ('x', 'x')",
        "SELECT unsubscribe(1, 1, 1, 1, '')",
    ),
    "readonly": (
        "UPDATE contacts SET name = ''",
        "INSERT INTO send_events (kind) VALUES ('x')",
        "SELECT smtp_secret FROM mailboxes",
        "SELECT * FROM api_keys",
        "SELECT resolve_send(1, 1, 1, 1, 'sent')",
    ),
}


@pytest.mark.parametrize("role", ROLES)
def test_statements_of_the_others_are_refused(database: Any, role: Any) -> None:
    with database.connect(role, autocommit=True) as connection:
        for statement in REFUSED[role]:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


@pytest.mark.parametrize("role", ROLES)
def test_no_role_makes_anything_or_becomes_another(database: Any, role: Any) -> None:
    statements = (
        "CREATE TABLE public.own (id int)",
        "CREATE FUNCTION public.own() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE ROLE another",
        "SET ROLE sequence_owner",
        "SELECT pg_read_file('/etc/passwd')",
        "COPY (SELECT 1) TO PROGRAM 'true'",
    )
    with database.connect(role, autocommit=True) as connection:
        for statement in statements:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_no_program_holds_its_locks_for_ever(database: Any, make_settings: Any) -> None:
    settings = make_settings()

    async def of_the_worker() -> tuple[Any, ...]:
        async with Store(settings.worker)._own as pool, pool.connection() as connection:
            return tuple((await (await connection.execute(BOUNDS)).fetchone()).values())

    assert asyncio.run(of_the_worker()) == ("10min", "1min")
    with connect(settings.pipeline.pipeline_database_url, name="test") as connection:
        assert connection.execute(BOUNDS).fetchone()[0] == "10min"


def test_everybody_has_no_rights(database: Any) -> None:
    with database.connect("owner") as connection:
        tables = connection.execute(
            "SELECT table_name FROM information_schema.table_privileges "
            "WHERE grantee = 'PUBLIC' AND table_schema = 'public'"
        ).fetchall()
        functions = connection.execute(
            "SELECT p.proname FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a "
            "WHERE p.pronamespace = 'public'::regnamespace AND a.grantee = 0"
        ).fetchall()
        schema = connection.execute(
            "SELECT a.privilege_type FROM pg_namespace n, aclexplode(n.nspacl) a "
            "WHERE n.nspname = 'public' AND a.grantee = 0"
        ).fetchall()
    assert (tables, functions, schema) == ([], [], [])


def test_every_function_with_its_owners_rights_looks_names_up_where_nobody_else_can_put_any(
    database: Any,
) -> None:
    with database.connect("owner") as connection:
        rows = connection.execute(
            "SELECT proname, proconfig FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef"
        ).fetchall()
    assert len(rows) > 10
    fixed = "search_path=public, pg_temp"
    others = {"sequence_events": ["plan_cache_mode=force_custom_plan"]}
    assert {name for name, settings in rows if settings != [fixed, *others.get(name, ())]} == set()


def test_no_role_but_the_owner_is_more_than_a_login(database: Any) -> None:
    with database.connect("owner") as connection:
        rows = connection.execute(
            "SELECT rolname FROM pg_roles WHERE rolname = ANY (%s) "
            "AND (rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls)",
            [[f"sequence_{role}" for role in ROLES]],
        ).fetchall()
    assert rows == []
