"""`sequences archive`: what was mailed long ago makes room."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sequence_cli.output import AsJson, print_json

if TYPE_CHECKING:
    import psycopg

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
    as_json: AsJson = False,
) -> None:
    """Move old sends of ended enrolments to `archived_sends`, which keeps each mail's key.

    Sends of enrolments that go on stay, however old. It commits batch by batch: stop it whenever you like, and run it
    again. Space in Postgres is used again by new rows once autovacuum has been there.
    """
    before = datetime.now(UTC) - timedelta(days=_days(older_than))

    from sequence_store.postgres.connection import connect
    from sequence_store.settings import OwnerSettings, read_settings

    with connect(read_settings(OwnerSettings).database_url, name="sequences archive") as connection:
        if dry_run:
            from sequence_store.postgres.queries import query

            row = connection.execute(query("archive", "count_archivable"), {"before": before}).fetchall()[0]
            examined, archived = row[:2]
        else:
            examined, archived = _move(connection, before, batch)
    if as_json:
        print_json({"before": before, "examined": examined, "archived": archived, "written": not dry_run})
        return
    became = "would be moved" if dry_run else "are archived"
    typer.echo(f"{archived:,} of {examined:,} sends from before {before:%Y-%m-%d} {became}.")


def _move(connection: psycopg.Connection[Any], before: datetime, batch: int) -> tuple[int, int]:
    from sequence_pipelines.maintenance.archive import archive_sends

    examined = archived = 0
    for moved in archive_sends(connection, before, batch=batch):
        examined += moved.examined
        archived += moved.archived
        typer.echo(f"up to {moved.upto:%Y-%m-%d %H:%M}: {archived:,} of {examined:,} moved", err=True)
    return examined, archived


def _days(words: str) -> int:
    found = re.fullmatch(r"(\d{1,5})d?", words.strip())
    if not found or int(found[1]) < LEAST_DAYS:
        raise typer.BadParameter(
            f"give days, {LEAST_DAYS}d at least: bounces and complaints of younger mails still come back",
            param_hint="--older-than",
        )
    return int(found[1])
