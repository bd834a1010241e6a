"""Command `sequences sample-data`: loads the sample data into an empty database."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from sequence_cli.sample_loader import Loaded
    from sequence_store.settings import OwnerSettings

DUE = ("due today", "overdue", "due later")
TITLES = {"sequence_mailboxes": "mailboxes of sequences"}


def sample_data(
    folder: Annotated[Path, typer.Option(help="Folder of the CSV files.")] = Path("examples"),
) -> None:
    """Load the sample data (examples/*.csv) into an empty database, with all dates moved to the present.

    If the sample data is already loaded, nothing changes.
    """
    from rich.console import Console

    from sequence_store.settings import OwnerSettings, read_settings

    settings = read_settings(OwnerSettings)
    load_and_show(settings, folder, Console(highlight=False))


def load_and_show(settings: OwnerSettings, folder: Path, console: Console) -> None:
    """Load the sample data unless it is already loaded, and print what was loaded."""
    from sequence_cli.sample_loader import load_sample
    from sequence_store.postgres.connection import connect

    with connect(settings.database_url, name="sequences_sample_data") as connection:
        loaded = load_sample(connection, settings, folder, now=datetime.now(UTC))
    if loaded is None:
        console.print("The sample data is already loaded.")
    else:
        console.print(_table(loaded))


def _table(loaded: Loaded) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title="Sample data", title_justify="left", box=box.SIMPLE)
    table.add_column("loaded")
    table.add_column("rows", justify="right")
    for name, rows in loaded.rows.items():
        table.add_row(TITLES.get(name, name), f"{rows:,}", end_section=name == "enrolments")
    for standing, enrolments, pinned in loaded.standings:
        table.add_row(
            f"  {standing}" + (f" ({pinned:,} of them follow-ups)" if pinned and standing in DUE else ""),
            f"{enrolments:,}",
        )
    return table
