"""Options that the commands for files of contacts and of suppressions share, and how they show the result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from sequence_cli.api_client import download, send_file
from sequence_cli.output import print_json

COUNTS = (
    *("rowsRead", "added", "changed", "enrolled", "merged", "refused", "flagged", "notEnrolled"),
    *("optedOut", "missingNames"),
)
OPT_OUT_COLUMNS = "optOutColumns"
FORMAT = ("encoding", "encodingConfidence", "delimiter", "sheet", "headerLine", "columns", "ignoredColumns")
SHOWN_ROWS = 5
SHOWN_REASONS = 5


class Delimiter(StrEnum):
    COMMA = "comma"
    SEMICOLON = "semicolon"
    TAB = "tab"
    PIPE = "pipe"


Readable = Annotated[
    Path,
    typer.Argument(
        exists=True, dir_okay=False, help="CSV file or workbook; one of its first lines names the columns."
    ),
]
Columns = Annotated[
    list[str] | None, typer.Option("--column", help="Column of a field, as `field:Title`; repeatable.")
]
EncodingOption = Annotated[
    str | None,
    typer.Option("--encoding", help="Encoding of the file, such as windows-1250; detected by default."),
]
DelimiterOption = Annotated[
    Delimiter | None, typer.Option("--delimiter", help="Delimiter of the cells; detected by default.")
]
SheetOption = Annotated[
    str | None,
    typer.Option("--sheet", help="Name or number of the sheet of a workbook; the first one by default."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would happen; change nothing.")]
ReportOption = Annotated[Path | None, typer.Option("--report", help="File for the report on single rows.")]


def file_query(
    columns: list[str] | None, encoding: str | None, delimiter: Delimiter | None, sheet: str | None
) -> dict[str, str | list[str]]:
    """Return the query parameters of the options that are set."""
    query: dict[str, str | list[str]] = {"column": columns or []}
    texts = {"encoding": encoding, "delimiter": delimiter.value if delimiter else None, "sheet": sheet}
    return query | {name: text for name, text in texts.items() if text is not None}


def preview(
    url: str, key: str, path: str, file: Path, query: Mapping[str, str | list[str]], *, seconds: float
) -> dict[str, Any]:
    """Return what an import of the file would do."""
    names = ("dryRun", "message", "rows", "columns", *COUNTS)
    asked = {**query, "dryRun": "true"}
    return send_file(url, key, path, file, asked, names, doing="Checking", seconds=seconds)


def show_preview(shown: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a preview: how the file is read, its first rows, and the counts."""
    if as_json:
        print_json(shown)
        return
    typer.echo(_format_line(shown))
    for column in shown["columns"]:
        fields = ", ".join(column["fields"]) or "ignored"
        hint = f"  (--column '{column['proposed']}')" if column["proposed"] else ""
        typer.echo(f"{column['name']}\t{fields}{hint}")
    for row in shown["rows"][:SHOWN_ROWS]:
        cells = (row["line"], row["name"], row["mailAddress"], row["attributes"] or "", row["reason"])
        typer.echo("\t".join("" if cell is None else str(cell) for cell in cells))
    if shown["message"]:
        typer.echo(shown["message"], err=True)
    else:
        print_counts(shown)


def print_counts(shown: Mapping[str, Any]) -> None:
    typer.echo("\n".join(f"{shown[name]}\t{name}" for name in COUNTS))


def show_result(shown: Mapping[str, Any], *, as_json: bool) -> None:
    """Print the result of an import."""
    if as_json:
        print_json({name: shown[name] for name in ("id", *COUNTS, OPT_OUT_COLUMNS, *FORMAT) if name in shown})
        return
    print_counts(shown)
    if shown[OPT_OUT_COLUMNS]:
        typer.echo(f"{', '.join(shown[OPT_OUT_COLUMNS])}\t{OPT_OUT_COLUMNS}")
    if shown.get("ignoredColumns"):
        typer.echo(f"{', '.join(filter(None, shown['ignoredColumns']))}\tignoredColumns")
    typer.echo(_format_line(shown), err=True)


def save_report(url: str, key: str, shown: Mapping[str, Any], report: Path | None, *, seconds: float) -> None:
    if report is not None:
        download(url, key, f"/imports/{shown['id']}/report", report, seconds=seconds)


def require_rows(shown: Mapping[str, Any], report: Path | None, reasons: Iterable[str] = ()) -> None:
    """Exit with status 1 if nothing of the file went in."""
    if shown["rowsRead"] > shown["refused"]:
        return
    why = "; ".join(reasons) or ("it has no rows" if not shown["rowsRead"] else "every row was refused")
    hint = "" if report or not shown["rowsRead"] else " --report FILE writes the reason of each row."
    typer.echo(f"Nothing was imported: {why}.{hint}", err=True)
    raise typer.Exit(1)


def _format_line(shown: Mapping[str, Any]) -> str:
    if shown.get("sheet") is not None:
        return f"Read as the sheet {shown['sheet']}, with the column names in line {shown['headerLine']}."
    sure = shown.get("encodingConfidence")
    how = "" if sure is None else f" ({sure:.0%} sure)"
    return (
        f"Read as {shown.get('encoding')}{how}, delimiter {shown.get('delimiter')}, with the column names in "
        f"line {shown.get('headerLine')}."
    )
