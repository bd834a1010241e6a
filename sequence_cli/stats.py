"""Command `sequences stats`: counts and rates of what came of the mails."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sequence_cli.output import AsJson, plain_table, print_json
from sequence_cli.sequence_names import find_sequence

if TYPE_CHECKING:
    import psycopg


class By(StrEnum):
    """What a row is."""

    SEQUENCE = "sequence"
    STEP = "step"
    MAILBOX = "mailbox"
    DAY = "day"


NAMES = {
    By.SEQUENCE: ("sequence_name",),
    By.STEP: ("sequence_name", "step_number"),
    By.MAILBOX: ("mailbox_id",),
    By.DAY: ("day",),
}
COLUMNS = ("mails", "opened", "clicked", "replied", "bounced", "enrolments")
RATES = ("replied_per_mail", "replied_per_enrolment", "bounced_per_attempt")


def stats(
    by: Annotated[By, typer.Option("--by", help="What a row is.")] = By.SEQUENCE,
    sequence: Annotated[
        str | None, typer.Option("--sequence", help="Only this sequence: its name or id.")
    ] = None,
    first: Annotated[
        str | None, typer.Option("--from", help="First day of the mails (YYYY-MM-DD); 30 days up to --to.")
    ] = None,
    last: Annotated[
        str | None, typer.Option("--to", help="Last day of the mails; the day after today if absent.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Count what came of the mails, by the day of the mail: a reply counts on the day of its mail.

    docs/outcomes.md defines the counts and rates; --json shows all of them.
    """
    from datetime import UTC, datetime

    from sequence_store.domain.rates import first_of_days, last_mail_day
    from sequence_store.postgres.connection import connect
    from sequence_store.settings import ObserverSettings, read_settings

    settings = read_settings(ObserverSettings)
    to = _day("--to", last) or last_mail_day(settings.calendar.day_of(datetime.now(UTC)))
    since = _day("--from", first) or first_of_days(to)
    if since > to:
        raise typer.BadParameter("must not be after --to", param_hint="--from")
    with connect(settings.readonly_database_url, name="sequences stats", autocommit=True) as connection:
        one = find_sequence(connection, sequence) if sequence else None
        rows = _read(connection, by, {"sequence": one, "from": since, "to": to})
    if as_json:
        print_json({"from": since, "to": to, "by": by, "rows": rows})
    else:
        _print(by, f"Mails of {since} to {to}", rows)


def _read(connection: psycopg.Connection[Any], by: By, wanted: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row's counts and rates by name, without ids of the database."""
    from sequence_store.domain.rates import COUNTS, KEYS, MOST_ROWS, rates_of
    from sequence_store.postgres.queries import query

    cursor = connection.execute(query("stats", f"by_{by}"), wanted | {"most": MOST_ROWS})
    names = [column.name for column in cursor.description or ()]
    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return [
        {name: value for name, value in row.items() if not name.startswith(KEYS)}
        | rates_of({name: row[name] for name in COUNTS})
        for row in rows
    ]


def _print(by: By, title: str, rows: list[dict[str, Any]]) -> None:
    from rich.console import Console

    if not rows:
        typer.echo(f"{title}: none.")
        return
    table = plain_table(title)
    for name in NAMES[by]:
        table.add_column(name.removesuffix("_name").removesuffix("_id").replace("_", "\n"))
    for name in (*COLUMNS, *RATES):
        table.add_column(_heading(name), justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            *(str(row[name]) for name in NAMES[by]),
            *(f"{row[name]:,}" for name in COLUMNS),
            *("–" if row[name] is None else f"{100 * row[name]:.1f}%" for name in RATES),
        )
    Console().print(table)


def _heading(name: str) -> str:
    """Return a narrow heading, so that a sequence's name has room in 80 characters."""
    return name.replace("_", "\n").replace("enrolment", "enrol-\nment")


def _day(option: str, text: str | None) -> Any:
    from datetime import date

    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no day like 2026-06-15", param_hint=option) from None
