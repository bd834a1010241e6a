"""The schema, as Alembic migrations forwards and backwards; each revision's SQL stands beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import URL, make_url

HERE = Path(__file__).parent


def upgrade(
    database_url: str,
    revision: str = "head",
    *,
    role_passwords: Mapping[str, str] | None = None,
    bounds: Mapping[str, str] | None = None,
) -> None:
    """Bring the database to `revision`; two migrators at once wait for each other.

    `role_passwords` (by role name) are for roles that the cluster does not have yet: they are created with
    LOGIN and that password, the others without LOGIN. An existing role keeps its password. `bounds` are other values
    of lock_timeout and statement_timeout; a migration that meets one has changed nothing, and is run again.
    """
    command.upgrade(_config(database_url, role_passwords or {}, bounds or {}), revision)


def downgrade(database_url: str, revision: str = "base") -> None:
    """Take the database back to `revision`; roles stay, their grants go."""
    command.downgrade(_config(database_url, {}, {}), revision)


def revisions() -> list[str]:
    """Return all revisions, the first one first."""
    script = ScriptDirectory.from_config(_config("postgresql://", {}, {}))
    return [one.revision for one in reversed(list(script.walk_revisions()))]


def _config(database_url: str, role_passwords: Mapping[str, str], bounds: Mapping[str, str]) -> Config:
    attributes = {
        "url": _driver_url(database_url),
        "role_passwords": dict(role_passwords),
        "bounds": dict(bounds),
    }
    config = Config(attributes=attributes)
    config.set_main_option("script_location", str(HERE).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _driver_url(database_url: str) -> URL:
    return make_url(database_url).set(drivername="postgresql+psycopg")
