"""`sequences archive`: what was mailed long ago makes room."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

LEAST_DAYS = 31


def archive(
    older_than: Annotated[
        str, typer.Option(metavar="DAYS", help="Only sends that are older, for example 400d; 31d at least.")
    ],
    batch: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Sends looked at between two commits.")
    ] = 10_000,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count what would be moved, and move nothing.")
    ] = False,
) -> None:
    """Move old sends of ended enrolments to `archived_sends`, which keeps each mail's key.

    Sends of enrolments that go on stay, however old. It commits batch by batch: stop it whenever you like, and run it
    again. Space in Postgres is used again by new rows once autovacuum has been there.
    """
    before = datetime.now(UTC) - timedelta(days=_days(older_than))

    from sequence_store.database import connect
    from sequence_store.settings import OwnerSettings, read_settings

    with connect(read_settings(OwnerSettings).database_url, name="sequences archive") as connection:
        if dry_run:
            from sequence_store.queries import query

            row = connection.execute(query("archive", "count_archivable"), {"before": before}).fetchall()[0]
            typer.echo(f"{row[1]:,} of {row[0]:,} sends from before {before:%Y-%m-%d} would be moved.")
            return
        from sequence_pipelines.archiving import archive_sends

        examined = archived = 0
        for moved in archive_sends(connection, before, batch=batch):
            examined += moved.examined
            archived += moved.archived
            typer.echo(f"up to {moved.upto:%Y-%m-%d %H:%M}: {archived:,} of {examined:,} moved", err=True)
    typer.echo(f"{archived:,} of {examined:,} sends from before {before:%Y-%m-%d} are archived.")


def _days(words: str) -> int:
    found = re.fullmatch(r"(\d{1,5})d?", words.strip())
    if not found or int(found[1]) < LEAST_DAYS:
        raise typer.BadParameter(
            f"give days, {LEAST_DAYS}d at least: bounces and complaints of younger mails still come back",
            param_hint="--older-than",
        )
    return int(found[1])
