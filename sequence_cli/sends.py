"""`sequences sends …`: look at sends, and settle those whose outcome nobody knows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import typer

from sequence_cli.output import AsJson, print_json, print_lines
from sequence_store.domain.states import SendStatus

app = typer.Typer(no_args_is_help=True, help="Look at sends, and settle unknown ones.")

SHOWN = ("contact_id", "step_id", "round", "sequence", "mailbox", "status", "send_at", "reason")
PLACE = ("send_at", "sequence_id", "contact_id", "step_id", "round")  # a row's place in the list


class Settlement(StrEnum):
    SENT = "sent"
    RETRY = "retry"


@app.command("list")
def list_sends(
    status: Annotated[
        list[SendStatus] | None, typer.Option(help="Only this state; may be given several times.")
    ] = None,
    mailbox: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Only from this mailbox.")] = None,
    sequence: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this sequence.")] = None,
    day: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Only planned in this planning day.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Only with this reason.")] = None,
    days: Annotated[int, typer.Option(min=1, help="Without --day: how many days to look back.")] = 30,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Rows on a page.")] = 50,
    after: Annotated[
        str | None, typer.Option(metavar="PLACE", help="The next page: the place that the last one printed.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List sends, the latest first: ids of contact, step and round, then sequence, mailbox, state, minute, reason."""
    from psycopg.rows import dict_row

    from sequence_store.postgres.connection import connect
    from sequence_store.postgres.queries import query
    from sequence_store.settings import OwnerSettings, read_settings

    settings = read_settings(OwnerSettings)
    wanted = day.date() if day else None
    before = _place(after)
    values = {
        "since": settings.calendar.start_of(wanted) if wanted else datetime.now(UTC) - timedelta(days=days),
        "day": wanted,
        "status": [one.value for one in status] if status else None,
        "mailbox": mailbox,
        "sequence": sequence,
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
        cursor = connection.cursor(row_factory=dict_row)
        rows = cursor.execute(query("sends", "list_sends"), values).fetchall()
    more = _written(rows[limit - 1]) if len(rows) > limit else None
    rows = rows[:limit]
    if as_json:
        print_json({"sends": rows, "next": more})
        return
    print_lines(("contact", "step", "round", *SHOWN[3:]), ([row[name] for name in SHOWN] for row in rows))
    if more:
        typer.echo(f"There are more: --after {more}", err=True)


def _written(row: dict[str, Any]) -> str:
    return ",".join(str(row[name].isoformat() if name == "send_at" else row[name]) for name in PLACE)


def _place(words: str | None) -> tuple[datetime | int | None, ...]:
    if words is None:
        return (None,) * len(PLACE)
    instant, *ids = words.split(",")
    try:
        place: list[datetime | int | None] = [datetime.fromisoformat(instant), *map(int, ids)]
    except ValueError:
        place = []
    if len(place) != len(PLACE):
        raise typer.BadParameter("give the place that the page before printed", param_hint="--after")
    return tuple(place)


@app.command()
def resolve(
    contact: Annotated[int, typer.Argument(help="The contact's id, as `sends list` shows it.")],
    step: Annotated[int, typer.Argument(help="The step's id.")],
    round_: Annotated[int, typer.Argument(metavar="ROUND", help="The enrolment's round.")],
    settlement: Annotated[Settlement, typer.Option("--as", help="What is known by now.")],
) -> None:
    """Settle an unknown send, once: as sent (it lies in the Sent folder), or as retry (it does not)."""
    from sequence_store.postgres.connection import connect
    from sequence_store.postgres.queries import query
    from sequence_store.settings import OwnerSettings, read_settings

    with connect(read_settings(OwnerSettings).database_url, name="sequences sends") as connection:
        row = connection.execute(
            query("sends", "resolve_send"),
            {"contact_id": contact, "step_id": step, "round": round_, "as": settlement.value},
        ).fetchone()
    if not (row and row[0]):
        typer.echo(
            "No such unknown send, or it is settled already: `sequences sends list --status unknown`.",
            err=True,
        )
        raise typer.Exit(1)
    typer.echo(f"Settled as {settlement}.")
