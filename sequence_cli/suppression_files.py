"""Imports files of suppressed addresses, and lists suppressions, through the Sequence API."""

from __future__ import annotations

from pathlib import Path

import typer

from sequence_cli import api_client
from sequence_cli.api_client import reported
from sequence_cli.import_options import (
    COUNTS,
    OPT_OUT_COLUMNS,
    preview,
    require_rows,
    save_report,
    show_preview,
    show_result,
)

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
