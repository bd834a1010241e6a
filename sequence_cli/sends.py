"""Commands `sequences sends …`: list sends and resolve sends with an unknown outcome."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import typer

from sequence_cli.output import AsJson, print_json, print_lines
from sequence_cli.sequence_names import find_sequence
from sequence_store.domain.states import SendStatus

app = typer.Typer(no_args_is_help=True, help="List sends; resolve sends with an unknown outcome.")

SHOWN = ("contact_id", "step_id", "round", "sequence", "mailbox", "status", "send_at", "reason")
CURSOR = ("send_at", "sequence_id", "contact_id", "step_id", "round")  # the sort key of the list


class Resolution(StrEnum):
    SENT = "sent"
    RETRY = "retry"


@app.command("list")
def list_sends(
    status: Annotated[
        list[SendStatus] | None, typer.Option(help="Only sends with this status; repeatable.")
    ] = None,
    mailbox: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Only sends from this mailbox.")
    ] = None,
    sequence: Annotated[
        str | None, typer.Option(metavar="NAME|ID", help="Only sends of the sequence with this name or id.")
    ] = None,
    day: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Only sends planned for this planning day.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Only sends with this reason.")] = None,
    days: Annotated[int, typer.Option(min=1, help="Lookback in days; ignored with --day.")] = 30,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Rows per page.")] = 50,
    after: Annotated[
        str | None,
        typer.Option(metavar="CURSOR", help="Next page: the cursor that the previous page printed."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List sends, latest first: contact id, step id, round, sequence, mailbox, status, send time, reason."""
    from psycopg.rows import dict_row

    from sequence_store.domain.addresses import address_or_text
    from sequence_store.postgres.connection import connect
    from sequence_store.postgres.queries import query
    from sequence_store.settings import OwnerSettings, read_settings

    settings = read_settings(OwnerSettings)
    wanted = day.date() if day else None
    before = _parse_cursor(after)
    values = {
        "since": settings.calendar.start_of(wanted) if wanted else datetime.now(UTC) - timedelta(days=days),
        "day": wanted,
        "status": [one.value for one in status] if status else None,
        "mailbox": address_or_text(mailbox) if mailbox else None,
        "sequence": None,
        "reason": reason,
        "limit": limit + 1,
        **dict(
            zip(
                ("before", "before_sequence", "before_contact", "before_step", "before_round"),
                before,
                strict=True,
            )
        ),
    }
    with connect(settings.database_url, name="sequences sends") as connection:
        if sequence is not None:
            values["sequence"] = find_sequence(connection, sequence)
        cursor = connection.cursor(row_factory=dict_row)
        rows = cursor.execute(query("sends", "list_sends"), values).fetchall()
    more = _format_cursor(rows[limit - 1]) if len(rows) > limit else None
    rows = rows[:limit]
    if as_json:
        print_json({"sends": rows, "next": more})
        return
    print_lines(("contact", "step", "round", *SHOWN[3:]), ([row[name] for name in SHOWN] for row in rows))
    if more:
        typer.echo(f"Next page: --after {more}", err=True)


def _format_cursor(row: dict[str, Any]) -> str:
    return ",".join(str(row[name].isoformat() if name == "send_at" else row[name]) for name in CURSOR)


def _parse_cursor(text: str | None) -> tuple[datetime | int | None, ...]:
    if text is None:
        return (None,) * len(CURSOR)
    instant, *ids = text.split(",")
    try:
        cursor: list[datetime | int | None] = [datetime.fromisoformat(instant), *map(int, ids)]
    except ValueError:
        cursor = []
    if len(cursor) != len(CURSOR):
        raise typer.BadParameter("must be the cursor that the previous page printed", param_hint="--after")
    return tuple(cursor)


@app.command()
def resolve(
    contact: Annotated[int, typer.Argument(help="Id of the contact, shown by `sends list`.")],
    step: Annotated[int, typer.Argument(help="Id of the step.")],
    round_: Annotated[int, typer.Argument(metavar="ROUND", help="Round of the enrolment.")],
    resolution: Annotated[Resolution, typer.Option("--as", help="The outcome that you found.")],
) -> None:
    """Resolve an unknown send once: as sent if the mail is in the Sent folder, else as retry."""
    from sequence_store.postgres.connection import connect
    from sequence_store.postgres.queries import query
    from sequence_store.settings import OwnerSettings, read_settings

    with connect(read_settings(OwnerSettings).database_url, name="sequences sends") as connection:
        row = connection.execute(
            query("sends", "resolve_send"),
            {"contact_id": contact, "step_id": step, "round": round_, "as": resolution.value},
        ).fetchone()
    if not (row and row[0]):
        typer.echo(
            "The send does not exist or its outcome is not unknown. "
            "`sequences sends list --status unknown` lists unknown sends.",
            err=True,
        )
        raise typer.Exit(1)
    typer.echo(f"The send is resolved as {resolution}.")
