"""Command `sequences archive`: moves old sends to the archive table."""

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
        str, typer.Option(metavar="DAYS", help="Minimum age of a send, for example 400d; at least 31d.")
    ],
    batch: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Sends examined per transaction.")
    ] = 10_000,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the sends; move nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Move old sends of ended enrolments to `archived_sends`, which keeps each mail's key.

    Sends of enrolments that have not ended stay, whatever their age. Each batch is one transaction, so you
    can interrupt the command and run it again. Postgres reuses the freed space after the next autovacuum.
    """
    before = datetime.now(UTC) - timedelta(days=_parse_days(older_than))

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
    outcome = "would be archived" if dry_run else "were archived"
    typer.echo(f"{archived:,} of {examined:,} sends older than {before:%Y-%m-%d} {outcome}.")


def _move(connection: psycopg.Connection[Any], before: datetime, batch: int) -> tuple[int, int]:
    from sequence_pipelines.maintenance.archive import archive_sends

    examined = archived = 0
    for moved in archive_sends(connection, before, batch=batch):
        examined += moved.examined
        archived += moved.archived
        typer.echo(f"up to {moved.upto:%Y-%m-%d %H:%M}: {archived:,} of {examined:,} archived", err=True)
    return examined, archived


def _parse_days(text: str) -> int:
    found = re.fullmatch(r"(\d{1,5})d?", text.strip())
    if not found or int(found[1]) < LEAST_DAYS:
        raise typer.BadParameter(
            f"must be a number of days, at least {LEAST_DAYS}d: bounces of younger mails may still arrive",
            param_hint="--older-than",
        )
    return int(found[1])
