"""`sequences migrate`: the schema."""

from __future__ import annotations

from pydantic import SecretStr


def migrate() -> None:
    """Bring the database (DATABASE_URL) to the newest schema and create roles that are missing.

    A missing role can log in if its URL (API_DATABASE_URL, …) is set: it gets that URL's password.
    """
    from psycopg.errors import LockNotAvailable, QueryCanceled
    from sqlalchemy.exc import OperationalError

    import migrations
    from sequence_store.errors import StoreError
    from sequence_store.settings import OwnerSettings, read_settings

    settings = read_settings(OwnerSettings)
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
        raise StoreError(f"DATABASE_URL: {reason}. `sequences stack up` starts a local one.") from error
    except (LockNotAvailable, QueryCanceled) as error:
        raise StoreError(
            "A table was in use for longer than a migration waits. What is migrated so far is whole: "
            "run `sequences migrate` again when less is going on."
        ) from error


def _passwords(urls: tuple[SecretStr | None, ...]) -> dict[str, str]:
    from sqlalchemy import make_url

    parsed = [make_url(url.get_secret_value()) for url in urls if url]
    return {url.username: str(url.password) for url in parsed if url.username and url.password}
