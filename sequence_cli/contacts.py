"""Commands `sequences contacts …`: import and export contacts as CSV files through the Sequence API."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sequence_cli.output import AsJson, print_json

if TYPE_CHECKING:
    import httpx

app = typer.Typer(no_args_is_help=True, help="Import and export contacts as CSV files.")

BLOCK = 256 * 1024
NO_KEY = "Set API_KEY or --key. `sequences keys create NAME` creates a key."


class Existing(StrEnum):
    UPDATE = "update"
    KEEP = "keep"


Url = Annotated[str, typer.Option(envvar="API_URL", help="URL of the Sequence API.")]
Key = Annotated[str, typer.Option(envvar="API_KEY", help="API key, if the API requires one.")]
Readable = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, help="CSV file; its first line names the columns.")
]


@app.command("import")
def import_contacts(
    file: Readable,
    sequence: Annotated[str | None, typer.Option(help="Id of a sequence to enrol the contacts in.")] = None,
    existing: Annotated[
        Existing, typer.Option(help="Update or keep contacts that exist already.")
    ] = Existing.UPDATE,
    column: Annotated[list[str] | None, typer.Option(help="Column of a field, as `field:Title`.")] = None,
    report: Annotated[Path | None, typer.Option(help="File for the report on single rows.")] = None,
    as_json: AsJson = False,
    url: Url = "http://127.0.0.1:8000",
    key: Key = "",
) -> None:
    """Import a CSV file in one transaction; rejected rows are skipped and reported."""
    query: dict[str, str | list[str]] = {"existing": existing.value, "column": column or []}
    if sequence is not None:
        query["sequenceId"] = sequence
    with _client(url, key) as client:
        answer = client.post("/contacts/imports", params=query, content=_blocks(file))
        shown = _succeeded(answer).json()
        counts = ("rowsRead", "added", "changed", "enrolled", "merged", "refused", "flagged", "notEnrolled")
        if as_json:
            print_json({"id": shown["id"], **{name: shown[name] for name in counts}})
        else:
            typer.echo("\n".join(f"{shown[name]}\t{name}" for name in counts))
        if report is not None:
            _download(client, f"/imports/{shown['id']}/report", report)


@app.command("export")
def export_contacts(
    file: Annotated[Path, typer.Argument(dir_okay=False, help="File to write.")],
    url: Url = "http://127.0.0.1:8000",
    key: Key = "",
) -> None:
    """Export all contacts to a CSV file that a spreadsheet can open and `import` accepts."""
    with _client(url, key) as client:
        _download(client, "/contacts/export", file)


@contextmanager
def _client(url: str, key: str) -> Iterator[httpx.Client]:
    import httpx

    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with httpx.Client(base_url=url, headers=headers, timeout=httpx.Timeout(30, read=None)) as client:
            yield client
    except httpx.TransportError as error:
        typer.echo(
            f"The API at {url} does not respond ({type(error).__name__}). Check --url or API_URL.", err=True
        )
        raise typer.Exit(1) from None


def _download(client: httpx.Client, path: str, file: Path) -> None:
    with client.stream("GET", path) as answer:
        if not answer.is_success:
            answer.read()
        blocks = _succeeded(answer).iter_bytes()
        with file.open("wb") as written:
            for block in blocks:
                written.write(block)


def _succeeded(answer: httpx.Response) -> httpx.Response:
    import httpx

    if not answer.is_success:
        hint = f"\n{NO_KEY}" if answer.status_code == httpx.codes.UNAUTHORIZED else ""
        typer.echo(answer.json()["message"] + hint, err=True)
        raise typer.Exit(1)
    return answer


def _blocks(path: Path) -> Iterator[bytes]:
    from rich.console import Console
    from rich.progress import open as open_with_progress

    console = Console(stderr=True)
    quiet = not console.is_terminal
    with open_with_progress(
        path, "rb", description="Uploading", console=console, transient=True, disable=quiet
    ) as file:
        while block := file.read(BLOCK):
            yield block
