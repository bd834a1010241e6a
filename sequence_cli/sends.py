"""`sequences sends …`: look at sends, and settle those whose outcome nobody knows."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Look at sends, and settle unknown ones.")


class Settlement(StrEnum):
    SENT = "sent"
    RETRY = "retry"


@app.command("list")
def list_sends(
    status: Annotated[str, typer.Option(help="Only sends with this status.")] = "unknown",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The latest so many.")] = 50,
) -> None:
    """List the latest sends of a status: contact, step and round (ids), mailbox, minute, reason."""
    from sequence_store.database import connect
    from sequence_store.queries import query
    from sequence_store.settings import OwnerSettings, read_settings

    with connect(read_settings(OwnerSettings).database_url, name="sequences sends") as connection:
        rows = connection.execute(query("sends", "list_sends"), {"status": status, "limit": limit}).fetchall()
    typer.echo("contact\tstep\tround\tmailbox\tsend_at\treason")
    for row in rows:
        typer.echo("\t".join("" if value is None else str(value) for value in row))


@app.command()
def resolve(
    contact: Annotated[int, typer.Argument(help="The contact's id, as `sends list` shows it.")],
    step: Annotated[int, typer.Argument(help="The step's id.")],
    round_: Annotated[int, typer.Argument(metavar="ROUND", help="The enrolment's round.")],
    settlement: Annotated[Settlement, typer.Option("--as", help="What is known by now.")],
) -> None:
    """Settle an unknown send, once: as sent (it lies in the Sent folder), or as retry (it does not)."""
    from sequence_store.database import connect
    from sequence_store.queries import query
    from sequence_store.settings import OwnerSettings, read_settings

    with connect(read_settings(OwnerSettings).database_url, name="sequences sends") as connection:
        row = connection.execute(
            query("sends", "resolve_send"),
            {"contact_id": contact, "step_id": step, "round": round_, "as": settlement.value},
        ).fetchone()
    if not (row and row[0]):
        typer.echo("No such unknown send, or it is settled already: `sequences sends list`.", err=True)
        raise typer.Exit(1)
    typer.echo(f"Settled as {settlement}.")
