"""Imports files of suppressed addresses, and lists suppressions, through the Sequence API."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sequence_cli import api_client
from sequence_cli.api_client import DEFAULT_URL, Key, Url, reported
from sequence_cli.http_client import parse_json
from sequence_cli.import_options import (
    COUNTS,
    OPT_OUT_COLUMNS,
    preview,
    require_rows,
    save_report,
    show_preview,
    show_result,
)
from sequence_cli.output import AsJson, print_json, print_lines

IMPORTS = "/suppressions/imports"
IMPORT_SECONDS = 900  # the API answers at the end of the import
SHOWN = ("id", "reason", "at")


def import_addresses(
    file: Path,
    query: dict[str, str | list[str]],
    report: Path | None,
    url: str,
    key: str,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Suppress the addresses of a file, end their enrolments, and print the counts.

    Exit with status 1 if nothing of the file went in.
    """
    with reported():
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
        names = ("id", *COUNTS, OPT_OUT_COLUMNS)
        shown = api_client.send_file(
            url, key, IMPORTS, file, query, names, doing="Importing", seconds=IMPORT_SECONDS
        )
        show_result(shown, as_json=as_json)
        save_report(url, key, shown, report, seconds=api_client.ANSWER_SECONDS)
        require_rows(shown, report)


def list_suppressions(
    address: Annotated[
        str | None, typer.Option("--address", help="Only the suppression of this address, in any spelling.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Rows per page.")] = 50,
    after: Annotated[
        str | None,
        typer.Option(metavar="CURSOR", help="Next page: the cursor that the previous page printed."),
    ] = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """List suppressions: id, reason, time. No address is stored; --address finds that of one."""
    query = {"size": str(limit)} | {
        name: value for name, value in {"mailAddress": address, "after": after}.items() if value is not None
    }
    with reported(), api_client.api_client(url, key, api_client.ANSWER_SECONDS) as client:
        answer = client.get("/suppressions", params=query)
        api_client.require_success(answer)
        rows = parse_json(answer.content, f"The API at {answer.url}", answer.status_code)
    following = answer.headers.get("X-Next-Cursor")
    if as_json:
        print_json({"suppressions": rows, "next": following})
        return
    print_lines(SHOWN, ([row[name] for name in SHOWN] for row in rows))
    if following:
        typer.echo(f"Next page: --after {following}", err=True)
