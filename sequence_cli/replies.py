"""Commands `sequences replies …` and `sequences optouts …`: list and settle what contacts answered."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from sequence_cli.output import AsJson, print_json, print_lines
from sequence_cli.sequence_names import find_sequence
from sequence_store.domain.addresses import address_or_text

app = typer.Typer(no_args_is_help=True, help="List replies; undo stops by replies.")
optouts = typer.Typer(no_args_is_help=True, help="List opt-outs that wait for confirmation; settle them.")

Address = Annotated[str, typer.Argument(help="The contact's mail address.")]


@app.command("list")
def list_replies(
    days: Annotated[int, typer.Option(min=1, help="Lookback in days.")] = 7,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most rows.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List enrolments that a reply ended or whose contact has left its company, latest first."""
    rows = _rows("list_replies", days=days, limit=limit)
    if as_json:
        print_json({"replies": rows})
        return
    names = ("at", "address", "sequence", "status", "reason", "round")
    print_lines(names, ([row[name] for name in names] for row in rows))


@app.command("undo")
def undo(
    address: Address,
    sequence: Annotated[
        str | None,
        typer.Option(metavar="NAME|ID", help="Only this sequence; by default all that a reply ended."),
    ] = None,
) -> None:
    """Undo a stop by a reply: each enrolment resumes at its step, from the same mailbox and in its thread.

    A contact that unsubscribed is not resumed.
    """
    from datetime import UTC, datetime

    from sequence_store.postgres.connection import connect
    from sequence_store.postgres.queries import query
    from sequence_store.settings import OwnerSettings, read_settings

    settings = read_settings(OwnerSettings)
    values = {
        "address": address_or_text(address),
        "today": settings.calendar.day_of(datetime.now(UTC)),
        "pads": settings.address_pads,
    }
    with connect(settings.database_url, name="sequences replies") as connection:
        sequence_id = find_sequence(connection, sequence) if sequence else None
        outcomes = connection.execute(
            query("replies", "undo_replies"), {**values, "sequence_id": sequence_id}
        ).fetchall()
    if not outcomes:
        typer.echo(f"No reply has ended an enrolment of {address}.", err=True)
        raise typer.Exit(1)
    for name, outcome in outcomes:
        typer.echo(f"{name}: {outcome}")
    if all(outcome != "resumed" for _, outcome in outcomes):
        raise typer.Exit(1)


@optouts.command("list")
def list_opt_outs(as_json: AsJson = False) -> None:
    """List contacts that get no mail because an opt-out waits for confirmation."""
    rows = _rows("list_opt_outs")
    if as_json:
        print_json({"optOuts": rows})
        return
    names = ("stopped_at", "address", "reason")
    print_lines(names, ([row[name] for name in names] for row in rows))


@optouts.command()
def confirm(address: Address) -> None:
    """Confirm an opt-out: the address is suppressed, as by the unsubscribe link."""
    _settle(address, confirmed=True)


@optouts.command()
def lift(address: Address) -> None:
    """Lift an opt-out: the contact gets mails again."""
    _settle(address, confirmed=False)


def _settle(address: str, *, confirmed: bool) -> None:
    from sequence_store.postgres.connection import connect
    from sequence_store.postgres.queries import query
    from sequence_store.settings import OwnerSettings, read_settings

    settings = read_settings(OwnerSettings)
    values = {"address": address_or_text(address), "confirmed": confirmed, "pads": settings.address_pads}
    with connect(settings.database_url, name="sequences optouts") as connection:
        settled = [
            row[0] for row in connection.execute(query("replies", "settle_opt_out"), values).fetchall()
        ]
    if not any(settled):
        typer.echo(f"No opt-out of {address} waits for confirmation.", err=True)
        raise typer.Exit(1)
    typer.echo(f"{address} is suppressed." if confirmed else f"{address} gets mails again.")


def _rows(name: str, **values: Any) -> list[dict[str, Any]]:
    from psycopg.rows import dict_row

    from sequence_store.postgres.connection import connect
    from sequence_store.postgres.queries import query
    from sequence_store.settings import OwnerSettings, read_settings

    settings = read_settings(OwnerSettings)
    with connect(settings.database_url, name="sequences replies") as connection:
        return connection.cursor(row_factory=dict_row).execute(query("replies", name), values).fetchall()
