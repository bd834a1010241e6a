"""Formats command output: tables for people, JSON and tab-separated lines for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_json(document: Any) -> None:
    """Print a document as JSON; dates and instants in ISO 8601."""
    typer.echo(json.dumps(document, indent=2, default=_text, ensure_ascii=False))


def _text(value: Any) -> str:
    return str(value.isoformat() if hasattr(value, "isoformat") else value)


def plain_table(title: str) -> Table:
    """Return a table without borders that fits a narrow terminal; the caller adds the columns."""
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
    """Print tab-separated rows, which `cut` and spreadsheets can read."""
    typer.echo("\t".join(headings))
    for row in rows:
        typer.echo("\t".join("" if value is None else _text(value) for value in row))
