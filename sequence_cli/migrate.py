"""Command `sequences migrate`: makes or updates the database's schema."""

from __future__ import annotations

from pydantic import SecretStr


def migrate() -> None:
    """Migrate the database (DATABASE_URL) to the newest schema, with its functions, and create missing roles.

    A role that is created can log in if its URL (API_DATABASE_URL, …) is set: it gets that URL's password.
    """
    from psycopg.errors import LockNotAvailable, QueryCanceled
    from sqlalchemy.exc import ArgumentError, OperationalError

    import migrations
    from sequence_store.deployment import Situation, advice
    from sequence_store.errors import SettingsError, StoreError
    from sequence_store.settings import OwnerSettings, read_settings, refuse_default_passwords

    settings = read_settings(OwnerSettings)
    refuse_default_passwords(settings)
    urls = (
        settings.api_database_url,
        settings.pipeline_database_url,
        settings.worker_database_url,
        settings.readonly_database_url,
    )
    try:
        migrations.upgrade(settings.database_url.get_secret_value(), role_passwords=_passwords(urls))
    except OperationalError as error:
        reason = str(error.orig).partition("\n")[0]
        situation: Situation = "password" if "authentication failed" in reason else "database"
        raise StoreError(f"DATABASE_URL: {reason}. {advice(situation)}") from error
    except (ArgumentError, ValueError) as error:  # the message would show a password
        raise SettingsError("DATABASE_URL, or the URL of a role, is not a URL of a database.") from error
    except (LockNotAvailable, QueryCanceled) as error:
        raise StoreError(
            "A table was locked for longer than a migration waits. Nothing was changed: "
            "run `sequences migrate` again when the database is less busy."
        ) from error


def _passwords(urls: tuple[SecretStr | None, ...]) -> dict[str, str]:
    from sqlalchemy import make_url

    parsed = [make_url(url.get_secret_value()) for url in urls if url]
    return {url.username: str(url.password) for url in parsed if url.username and url.password}
