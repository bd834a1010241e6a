"""How commands answer: tables for people, `--json` for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def print_json(document: Any) -> None:
    """Print a document; dates and instants in ISO 8601."""
    typer.echo(json.dumps(document, indent=2, default=_told, ensure_ascii=False))


def _told(value: Any) -> str:
    return str(value.isoformat() if hasattr(value, "isoformat") else value)


def plain_table(title: str) -> Table:
    """Return a table without lines, which fits a narrow terminal; its columns are to be added."""
    from rich.table import Table

    return Table(
        title=title,
        title_justify="left",
        box=None,
        header_style="bold",
        pad_edge=False,
        collapse_padding=True,
    )


def print_lines(headings: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Print rows with tabs between, as `cut` and a spreadsheet read them."""
    typer.echo("\t".join(headings))
    for row in rows:
        typer.echo("\t".join("" if value is None else _told(value) for value in row))
