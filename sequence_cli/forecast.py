"""Command `sequences forecast`: plans the next days on a copy of the data."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sequence_cli.output import AsJson, plain_table, print_json
from sequence_pipelines.planning.scenario import MOST_ADDED, MOST_DAYS, MOST_MAILS, WhatIf

if TYPE_CHECKING:
    from rich.table import Table

    from sequence_pipelines.planning.forecast import ForecastDay

FULL_MAILBOXES = 10
BAR = 20  # width of the bar of a full day; smaller if the terminal is narrow
# Columns that are shown only if they have a value other than 0.
OPTIONAL = {"already\nplanned", "wait\nother-\nwise", "not\nto be\nmailed"}


def forecast(
    days: Annotated[
        int, typer.Option(min=1, max=MOST_DAYS, help="Number of planning days, beginning with today.")
    ] = 14,
    add_mailboxes: Annotated[
        int, typer.Option(min=0, max=MOST_ADDED, help="Scenario: add this many mailboxes to every sequence.")
    ] = 0,
    limit: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=MOST_MAILS,
            help="Scenario: daily limit of the added mailboxes; without --add-mailboxes, of all mailboxes.",
        ),
    ] = None,
    max_first_mails: Annotated[
        int | None,
        typer.Option(
            min=0, max=MOST_MAILS, help="Scenario: at most this many first mails per mailbox and day."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Plan the next days on a copy: due, planned and waiting contacts, use of mailboxes, queues of sequences.

    Today means the rest of today: if today has a plan, its mails are shown in a column of their own, and
    due, planned and use count only what a plan made now would add. Nothing is written. The forecast uses the
    current enrolments and assumes that no contact replies, bounces or is added.
    """
    from datetime import UTC, datetime

    from rich.console import Console
    from rich.progress import track

    from sequence_pipelines.planning.forecast import forecast as plan_ahead
    from sequence_pipelines.planning.forecast import summarise_mailboxes, summarise_sequences
    from sequence_pipelines.planning.repository import PlanRepository
    from sequence_store.postgres.connection import connect
    from sequence_store.secrets.pipeline_secret import read_pipeline_settings

    settings = read_pipeline_settings()
    what_if = WhatIf(add_mailboxes, limit, max_first_mails)
    with connect(settings.pipeline_database_url, name="sequences forecast") as connection:
        repository = PlanRepository(connection, settings.address_pads)
        forecast_days = plan_ahead(repository, settings, datetime.now(UTC), days, what_if)
        console = Console(stderr=True)
        quiet = not console.is_terminal
        tracked = track(forecast_days, "Planning", total=days, console=console, transient=True, disable=quiet)
        planned_days = list(tracked)
        connection.rollback()
        names = _names(connection)
    mailboxes = summarise_mailboxes(planned_days).to_dict("records")
    sequences = summarise_sequences(planned_days).to_dict("records")
    if as_json:
        print_json(_document(planned_days, mailboxes, sequences, names))
        return
    Console().print(_days(planned_days), _fullest(mailboxes, names), _queues(sequences, names))


def _names(connection: Any) -> dict[str, dict[int, str]]:
    from sequence_store.postgres.queries import query

    mailboxes = connection.execute(query("forecast", "name_mailboxes")).fetchall()
    return {
        "mailboxes": dict(mailboxes),
        "sequences": dict(connection.execute(query("forecast", "name_sequences"))),
    }


def _days(planned_days: list[ForecastDay]) -> Table:
    from rich.bar import Bar

    numbers = {
        "already\nplanned": [day.already_planned for day in planned_days],
        "due": [day.due for day in planned_days],
        "planned": [day.planned for day in planned_days],
        "follow-\nups": [day.follow_ups for day in planned_days],
        "first\nmails": [day.first_mails for day in planned_days],
        "wait\nfor\nroom": [day.wait_for_capacity for day in planned_days],
        "wait\nother-\nwise": [day.wait_otherwise for day in planned_days],
        "not\nto be\nmailed": [day.not_to_be_mailed for day in planned_days],
    }
    shown = {heading: column for heading, column in numbers.items() if heading not in OPTIONAL or any(column)}
    table = plain_table("Days")
    table.add_column("day", no_wrap=True)
    for heading in (*shown, "use"):
        table.add_column(heading, justify="right", overflow="fold")
    table.add_column(max_width=BAR)
    for day, *row in zip(planned_days, *shown.values(), strict=True):
        use = day.utilisation
        table.add_row(str(day.day), *(f"{n:,}" for n in row), f"{use:.0%}", Bar(1, 0, use))
    return table


def _fullest(mailboxes: list[dict[Hashable, Any]], names: dict[str, dict[int, str]]) -> Table:
    table = plain_table("\nFullest mailboxes")
    table.add_column("mailbox", overflow="fold")
    for heading in ("planned", "capacity", "use", "most follow-ups waiting"):
        table.add_column(heading, justify="right", no_wrap=True)
    used = [row for row in mailboxes if row["planned"] or row["most_waiting"]]
    for row in used[:FULL_MAILBOXES]:
        name = names["mailboxes"].get(row["mailbox_id"], "(added)")
        use = f"{row['utilisation']:.0%}" if row["capacity"] else "-"
        numbers = (f"{row['planned']:,}", f"{row['capacity']:,}", use, f"{row['most_waiting']:,}")
        table.add_row(name, *numbers)
    return table


def _queues(sequences: list[dict[Hashable, Any]], names: dict[str, dict[int, str]]) -> Table:
    from sequence_pipelines.planning.forecast import NOT_IN_THESE_DAYS

    table = plain_table("\nSequences")
    table.add_column("sequence", overflow="fold")
    for heading in ("planned", "most waiting", "queue empty on"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in sorted(sequences, key=lambda r: -r["most_waiting"]):
        empty = row["queue_empty_on"] or NOT_IN_THESE_DAYS
        name = names["sequences"].get(row["sequence_id"], str(row["sequence_id"]))
        table.add_row(name, f"{row['planned']:,}", f"{row['most_waiting']:,}", str(empty))
    return table


def _document(
    planned_days: list[ForecastDay],
    mailboxes: list[dict[Hashable, Any]],
    sequences: list[dict[Hashable, Any]],
    names: dict[str, dict[int, str]],
) -> dict[str, Any]:
    return {
        "days": [
            {
                "day": day.day,
                "already_planned": day.already_planned,
                "due": day.due,
                "planned": day.planned,
                "follow_ups": day.follow_ups,
                "first_mails": day.first_mails,
                "wait_for_room": day.wait_for_capacity,
                "wait_otherwise": day.wait_otherwise,
                "not_to_be_mailed": day.not_to_be_mailed,
                "waiting": {str(reason): int(n) for reason, n in day.waiting.items()},
                "capacity": day.capacity,
                "utilisation": round(day.utilisation, 4),
                "mailboxes": day.mailboxes.to_dict("records"),
            }
            for day in planned_days
        ],
        "mailboxes": [{**row, "address": names["mailboxes"].get(row["mailbox_id"])} for row in mailboxes],
        "sequences": [{**row, "name": names["sequences"].get(row["sequence_id"])} for row in sequences],
    }
