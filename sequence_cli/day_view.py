"""Prints the output of `sequences day`: tables of the plan, progress, addresses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

from rich import box
from rich.console import Console, JustifyMethod
from rich.live import Live
from rich.table import Table

ALWAYS = ("planned", "dispatched", "sent", "advanced")  # the other counts are shown only if they are not 0


class Progress(NamedTuple):
    """Counts of a planning day's sends by stage (the columns of the query read_progress)."""

    planned: int
    dispatched: int
    under_way: int
    sent: int
    advanced: int
    failed: int
    withdrawn: int
    next_at: datetime | None

    @property
    def placed(self) -> int:
        """Contacts with a send today, whatever its stage."""
        return self.planned + self.dispatched + self.under_way + self.sent + self.failed


def show_plan(
    console: Console, progress: Progress, waiting: Iterable[tuple[str, int]], mailboxes: Any, sends: Any
) -> None:
    """Print the counts of due, planned and waiting contacts, the mailboxes' use, and the next sends."""
    waiting = list(waiting)
    due = progress.placed + sum(count for _, count in waiting)
    _table(
        console,
        "Today's plan",
        ("", ">contacts"),
        [
            ("due", f"{due:,}"),
            ("planned", f"{progress.placed:,}"),
            *((f"waiting: {reason.replace('_', ' ')}", f"{count:,}") for reason, count in waiting),
        ],
    )
    _table(
        console,
        "Busiest mailboxes",
        ("mailbox", "open", "time zone", ">planned"),
        [
            (address, opens, zone.rpartition("/")[2].replace("_", " "), f"{planned} of {allowed}")
            for address, opens, zone, planned, allowed in mailboxes
        ],
    )
    _table(
        console,
        "Next sends",
        ("at (UTC)", "sequence", ">step", "mailbox"),
        [(f"{at:%H:%M:%S}", name, str(step), address) for at, name, step, address in sends],
    )


def show_addresses(console: Console, variables: Mapping[str, str]) -> None:
    """Print the addresses of the web pages."""
    console.print()
    for name, address in (
        ("Dagster UI", variables["DAGSTER_URL"]),
        ("API docs", f"{variables['API_URL']}/docs"),
        ("Mail sink", variables["MAIL_SINK_URL"]),
    ):
        console.print(f"  [bold]{name:<12}[/] {address}", soft_wrap=True)
    console.print()


class Ticker:
    """Prints progress: in place on a terminal, else one line for each change."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._last: Progress | None = None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_error: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, progress: Progress) -> None:
        if self._live:
            self._live.update(_progress_table(progress), refresh=True)
        elif progress != self._last:
            self._console.print(_progress_line(progress), soft_wrap=True)
        self._last = progress


def _progress_line(progress: Progress) -> str:
    counts = ", ".join(f"{name} {count:,}" for name, count in _counts(progress))
    return f"{datetime.now(UTC):%H:%M:%S}  {counts}"


def _counts(progress: Progress) -> list[tuple[str, int]]:
    counts = {name: count for name, count in progress._asdict().items() if name != "next_at"}
    return [(name.replace("_", " "), count) for name, count in counts.items() if count or name in ALWAYS]


def _progress_table(progress: Progress) -> Table:
    table = Table(title=f"{datetime.now(UTC):%H:%M:%S} UTC", title_justify="left", box=box.SIMPLE)
    for name, _ in _counts(progress):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("next (UTC)", no_wrap=True)
    next_at = f"{progress.next_at:%H:%M:%S}" if progress.next_at else "-"
    table.add_row(*(f"{count:,}" for _, count in _counts(progress)), next_at)
    return table


def _table(console: Console, title: str, columns: Iterable[str], rows: Iterable[tuple[str, ...]]) -> None:
    """Print a table; a leading `>` in a column name means right-aligned."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE)
    for column in columns:
        justify: JustifyMethod = "right" if column.startswith(">") else "left"
        table.add_column(column.removeprefix(">"), justify=justify, no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console.print(table)
