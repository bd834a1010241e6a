"""Commands `sequences contacts …`: import and export files of contacts through the Sequence API."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sequence_cli import api_client
from sequence_cli.api_client import DEFAULT_URL, NO_KEY, Key, Url, reported
from sequence_cli.import_options import (
    COUNTS,
    OPT_OUT_COLUMNS,
    Columns,
    DelimiterOption,
    DryRun,
    EncodingOption,
    Readable,
    ReportOption,
    SheetOption,
    file_query,
    preview,
    require_rows,
    save_report,
    show_preview,
    show_result,
)
from sequence_cli.output import AsJson

__all__ = ["NO_KEY", "app"]

app = typer.Typer(no_args_is_help=True, help="Import and export contacts as files.")

IMPORTS = "/contacts/imports"
IMPORT_SECONDS = 900  # the API answers at the end of the import; a million contacts take half a minute
DOWNLOAD_SECONDS = 60  # between two parts of a file
ASKED_ABOVE = 1_000  # contacts that would be enrolled


class Existing(StrEnum):
    UPDATE = "update"
    KEEP = "keep"


class OptOuts(StrEnum):
    SUPPRESS = "suppress"
    IGNORE = "ignore"


class OtherColumns(StrEnum):
    IGNORE = "ignore"
    ATTRIBUTES = "attributes"


class RoleAddresses(StrEnum):
    FLAG = "flag"
    REFUSE = "refuse"


@app.command("import")
def import_contacts(
    file: Readable,
    sequence: Annotated[
        str | None,
        typer.Option(metavar="NAME|ID", help="Enrol the contacts in the sequence with this name or id."),
    ] = None,
    existing: Annotated[
        Existing, typer.Option(help="Update or keep contacts that exist already.")
    ] = Existing.UPDATE,
    column: Columns = None,
    other_columns: Annotated[
        OtherColumns, typer.Option(help="Ignore other columns, or import them as attributes.")
    ] = OtherColumns.IGNORE,
    role_addresses: Annotated[
        RoleAddresses, typer.Option(help="Flag or refuse addresses such as postmaster@.")
    ] = RoleAddresses.FLAG,
    opt_outs: Annotated[
        OptOuts,
        typer.Option(help="Suppress or ignore contacts that do not want mail, by a column of the file."),
    ] = OptOuts.SUPPRESS,
    encoding: EncodingOption = None,
    delimiter: DelimiterOption = None,
    sheet: SheetOption = None,
    report: ReportOption = None,
    dry_run: DryRun = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help=f"Do not ask before more than {ASKED_ABOVE:,} are enrolled.")
    ] = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Import a file in one transaction; rejected rows are skipped and reported.

    The exit status is 1 if nothing of the file went in.
    """
    query = file_query(column, encoding, delimiter, sheet) | {
        "existing": existing.value,
        "optOuts": opt_outs.value,
        "otherColumns": other_columns.value,
        "roleAddresses": role_addresses.value,
    }
    with reported():
        if sequence is not None:
            query["sequenceId"] = api_client.find_sequence_id(url, key, sequence)
        if report is not None:
            api_client.require_folder(report)
        if dry_run:
            show_preview(
                shown := preview(url, key, IMPORTS, file, query, seconds=IMPORT_SECONDS), as_json=as_json
            )
            if shown["message"]:
                raise typer.Exit(1)
            require_rows(shown, None)
            return
        if sequence is not None and not yes:
            _confirm_enrolments(file, query, sequence, url, key)
        names = ("id", *COUNTS, OPT_OUT_COLUMNS)
        shown = api_client.send_file(
            url, key, IMPORTS, file, query, names, doing="Importing", seconds=IMPORT_SECONDS
        )
        show_result(shown, as_json=as_json)
        save_report(url, key, shown, report, seconds=DOWNLOAD_SECONDS)
        require_rows(shown, report)


def _confirm_enrolments(
    file: Path, query: dict[str, str | list[str]], sequence: str, url: str, key: str
) -> None:
    """Show what would happen and ask, if more contacts than usual would be enrolled."""
    if not _may_have_rows(file, ASKED_ABOVE):
        return
    shown = preview(url, key, IMPORTS, file, query, seconds=IMPORT_SECONDS)
    if shown["message"] or shown["enrolled"] <= ASKED_ABOVE:
        return
    counts = ", ".join(f"{shown[name]:,} {name}" for name in ("rowsRead", "added", "changed", "refused"))
    typer.echo(f"{file.name}: {counts}.", err=True)
    for row in shown["rows"][:3]:
        typer.echo(f"  {row['name'] or ''} <{row['mailAddress'] or ''}>  {row['reason'] or ''}", err=True)
    question = f"Enrol {shown['enrolled']:,} contacts in the sequence {sequence}?"
    if not can_answer():
        typer.echo(f"{question} Nobody can answer here. Pass --yes to import the file.", err=True)
        raise typer.Exit(1)
    typer.confirm(question, abort=True, err=True)


def can_answer() -> bool:
    """Return whether a person can answer a question."""
    return sys.stdin.isatty()


def _may_have_rows(file: Path, number: int) -> bool:
    """Return whether a file may have more rows than `number`: a text by its lines, a workbook always."""
    lines = 0
    with file.open("rb") as opened:
        if opened.read(4) in (b"PK\x03\x04", b"\xd0\xcf\x11\xe0"):
            return True
        while block := opened.read(api_client.BLOCK):
            lines += block.count(b"\n") + block.count(b"\r")
            if lines > number:
                return True
    return False


@app.command("export")
def export_contacts(
    file: Annotated[Path, typer.Argument(dir_okay=False, help="File to write.")],
    active: Annotated[
        bool | None, typer.Option("--active/--inactive", help="Only active or only inactive contacts.")
    ] = None,
    suppressed: Annotated[
        bool | None,
        typer.Option("--suppressed/--not-suppressed", help="Only suppressed contacts, or only the others."),
    ] = None,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Export contacts to a CSV file that a spreadsheet can open and `import` accepts."""
    chosen = {"isActive": active, "suppressed": suppressed}
    query = {name: str(value).lower() for name, value in chosen.items() if value is not None}
    with reported():
        api_client.require_folder(file)
        api_client.download(url, key, "/contacts/export", file, query, seconds=DOWNLOAD_SECONDS)
