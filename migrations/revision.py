"""What a revision file calls: the SQL that stands beside it, and the roles that grants need."""

from __future__ import annotations

from pathlib import Path

from alembic import context, op
from psycopg import sql

ROLES = ("sequence_api", "sequence_pipeline", "sequence_worker", "sequence_readonly")


def run_sql_file(revision_file: str, direction: str) -> None:
    """Run `<revision>.<direction>.sql`, many statements at once, outside SQLAlchemy's parameter parsing."""
    text = Path(revision_file).with_suffix(f".{direction}.sql").read_text(encoding="utf-8")
    _execute(sql.SQL(text))


def create_missing_roles() -> None:
    """Create the roles that the cluster lacks; one that another database's migration makes meanwhile is fine."""
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
    driver_connection = op.get_bind().connection.driver_connection
    assert driver_connection is not None  # noqa: S101  (online migrations have one)
    driver_connection.execute(statement)
