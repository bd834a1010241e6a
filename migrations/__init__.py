"""Makes the database's schema: Alembic migrations for the tables, and one definition of each function.

versions/   tables, constraints, indexes, triggers, roles and grants on tables. The baseline is closed: a
            later migration is numbered without gaps, is named by what it changes, and changes tables only.
functions/  every SQL function once, by topic, with its grants. Each upgrade runs all files after the
            migrations, in the same transaction. A function whose arguments or result change gets a new
            name; the next release drops the old one in its topic file (DROP FUNCTION IF EXISTS).
schema.sql  the tables as the migrations leave them, with their comments; a test compares.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import URL, make_url

from sequence_store.deployment import STACK, advice, deployment
from sequence_store.errors import UnknownSchemaError

HERE = Path(__file__).parent
BEFORE_THE_BASELINE = re.compile(r"\d{4}")  # revisions were plain numbers then


def upgrade(
    database_url: str,
    revision: str = "head",
    *,
    role_passwords: Mapping[str, str] | None = None,
    bounds: Mapping[str, str] | None = None,
) -> None:
    """Migrate the database to `revision`; to the newest one ("head") with all functions.

    It runs in one transaction, and two migrators at once wait for each other. `role_passwords` (by role name)
    are for roles that the cluster lacks: they are created with LOGIN and that password, the others without
    LOGIN. An existing role keeps its password. `bounds` are other values of lock_timeout and
    statement_timeout; a migration that exceeds one changes nothing and can be run again.

    Raises UnknownSchemaError if the database is at a revision that this release does not have.
    """
    config = _config(database_url, role_passwords or {}, bounds or {}, functions=revision == "head")
    command.upgrade(config, revision)


def downgrade(database_url: str, revision: str = "base") -> None:
    """Migrate back to `revision`; "base" removes all tables and functions and keeps the roles."""
    command.downgrade(_config(database_url), revision)


def revisions() -> list[str]:
    """Return all revisions, the first one first."""
    script = ScriptDirectory.from_config(_config("postgresql://"))
    return [one.revision for one in reversed(list(script.walk_revisions()))]


def refuse_unknown_revision(found: Iterable[str]) -> None:
    """Raise UnknownSchemaError if the database is at a revision that is not in versions/."""
    for revision in set(found) - set(revisions()):
        if BEFORE_THE_BASELINE.fullmatch(revision):
            raise UnknownSchemaError(
                f"The {'local ' if deployment() == STACK else ''}database is from before the baseline "
                f"(revision {revision}) and cannot be migrated. {advice('old_database')}"
            )
        raise UnknownSchemaError(
            f"The database is at revision {revision}, which this release does not have. Use the release that "
            "migrated it, or a newer one."
        )


def _config(
    database_url: str,
    role_passwords: Mapping[str, str] | None = None,
    bounds: Mapping[str, str] | None = None,
    *,
    functions: bool = False,
) -> Config:
    attributes = {
        "url": _driver_url(database_url),
        "role_passwords": dict(role_passwords or {}),
        "bounds": dict(bounds or {}),
        "functions": functions,
    }
    config = Config(attributes=attributes)
    config.set_main_option("script_location", str(HERE).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _driver_url(database_url: str) -> URL:
    return make_url(database_url).set(drivername="postgresql+psycopg")
