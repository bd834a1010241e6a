"""Commands `sequences suppressions list` and `lift`: find suppressions, and lift those made by mistake."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import typer

from sequence_cli.output import AsJson, print_json, print_lines
from sequence_store.domain.addresses import address_or_text
from sequence_store.domain.states import SuppressionReason

app = typer.Typer(
    no_args_is_help=True, help="Import, list and lift suppressions, and share them between deployments."
)

SHOWN = ("id", "reason", "at", "until")
WISHES = (
    SuppressionReason.UNSUBSCRIBED,
    SuppressionReason.OPTED_OUT,
    SuppressionReason.COMPLAINT,
    SuppressionReason.ERASED,
)

Reason = Annotated[
    str | None, typer.Option(help="Only suppressions with this reason, such as hard_bounce or refused.")
]
Since = Annotated[
    datetime | None,
    typer.Option(
        formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"],
        help="Only suppressions made since then; UTC if it names no offset.",
    ),
]


@app.command("list")
def list_suppressions(
    reason: Reason = None,
    since: Since = None,
    address: Annotated[str | None, typer.Option(help="Only the suppression of this address.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Most rows to show.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """List suppressions, latest first: id, reason, since when, and until when (empty: for ever).

    Addresses are not stored; `--address` finds the suppression of one.
    """
    from psycopg.rows import dict_row

    from sequence_store.postgres.connection import connect
    from sequence_store.postgres.queries import query
    from sequence_store.settings import OwnerSettings, read_settings

    settings = read_settings(OwnerSettings)
    values = {
        "reason": reason,
        "since": _aware(since),
        "address": address and address_or_text(address),
        "limit": limit + 1,
    }
    with connect(settings.database_url, name="sequences suppressions") as connection:
        cursor = connection.cursor(row_factory=dict_row)
        rows = cursor.execute(
            query("suppressions", "list_suppressions"), {**values, "pads": settings.address_pads}
        ).fetchall()
    if as_json:
        print_json({"suppressions": rows[:limit], "more": len(rows) > limit})
        return
    print_lines(SHOWN, ([row[name] for name in SHOWN] for row in rows[:limit]))
    if len(rows) > limit:
        typer.echo(f"There are more than {limit}; raise --limit to see them.", err=True)


@app.command()
def lift(
    why: Annotated[str, typer.Option(help="Why the addresses may be mailed again; recorded.")],
    ids: Annotated[
        list[UUID] | None, typer.Argument(metavar="[ID]...", help="Ids, as `suppressions list` shows them.")
    ] = None,
    reason: Reason = None,
    since: Since = None,
    by: Annotated[
        str | None, typer.Option(help="Who decides it; recorded. Default: the user of this machine.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show how many would be lifted.")] = False,
) -> None:
    """Lift suppressions, by id or all with a reason; record who did it and why.

    Enrolments that ended stay ended: enrol the contacts again. What people asked for (unsubscribed,
    opted_out, complaint, erased) is lifted by id only.
    """
    if not (ids or reason):
        raise typer.BadParameter("name ids, or a --reason", param_hint="ID")
    if not ids and reason in WISHES:
        raise typer.BadParameter(f"{reason} is what people asked for: name the ids", param_hint="--reason")
    if not why.strip():
        raise typer.BadParameter("must not be empty", param_hint="--why")

    from sequence_store.postgres.connection import connect
    from sequence_store.postgres.queries import query
    from sequence_store.settings import OwnerSettings, read_settings

    values: dict[str, Any] = {
        "ids": list(ids) if ids else None,
        "reason": reason,
        "since": _aware(since),
        "by": by or getpass.getuser(),
        "why": why.strip(),
    }
    statement = query("suppressions", "count_suppressions" if dry_run else "lift_suppressions")
    with connect(read_settings(OwnerSettings).database_url, name="sequences suppressions") as connection:
        row = connection.execute(statement, values).fetchone()
    count = row[0] if row else 0
    what = "1 suppression" if count == 1 else f"{count} suppressions"
    typer.echo(f"{what} would be lifted." if dry_run else f"{what} lifted.")
    if count == 0:
        raise typer.Exit(1)


def _aware(instant: datetime | None) -> datetime | None:
    return instant.replace(tzinfo=UTC) if instant and instant.tzinfo is None else instant
