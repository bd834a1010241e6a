"""Commands `sequences contacts …`: import and export contacts as CSV files through the Sequence API."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sequence_cli.errors import AnswerError, FileError, RemoteError
from sequence_cli.http_client import open_client, parse_json
from sequence_cli.output import AsJson, print_json

if TYPE_CHECKING:
    from typing import Any, BinaryIO

    import httpx

app = typer.Typer(no_args_is_help=True, help="Import and export contacts as CSV files.")

BLOCK = 256 * 1024
IMPORT_SECONDS = 900  # the API answers at the end of the import; a million contacts take half a minute
DOWNLOAD_SECONDS = 60  # between two parts of a file
COUNTS = (
    *("rowsRead", "added", "changed", "enrolled", "merged", "refused", "flagged", "notEnrolled"),
    *("optedOut", "missingNames"),
)
OPT_OUT_COLUMNS = "optOutColumns"
NO_KEY = "Set API_KEY or --key. `sequences keys create NAME` creates a key."


class Existing(StrEnum):
    UPDATE = "update"
    KEEP = "keep"


class OptOuts(StrEnum):
    SUPPRESS = "suppress"
    IGNORE = "ignore"


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
    opt_outs: Annotated[
        OptOuts,
        typer.Option(help="Suppress or ignore contacts that do not want mail, by a column of the file."),
    ] = OptOuts.SUPPRESS,
    report: Annotated[Path | None, typer.Option(help="File for the report on single rows.")] = None,
    as_json: AsJson = False,
    url: Url = "http://127.0.0.1:8000",
    key: Key = "",
) -> None:
    """Import a CSV file in one transaction; rejected rows are skipped and reported."""
    query: dict[str, str | list[str]] = {"existing": existing.value, "column": column or []}
    query["optOuts"] = opt_outs.value
    if sequence is not None:
        query["sequenceId"] = sequence
    with _reported():
        _import(file, query, report, url, key, as_json=as_json)


def _import(
    file: Path, query: dict[str, str | list[str]], report: Path | None, url: str, key: str, *, as_json: bool
) -> None:
    if report is not None:
        _require_folder(report)
    with _client(url, key, IMPORT_SECONDS) as client:
        answer = client.post("/contacts/imports", params=query, content=_blocks(file))
        shown = _document(answer, ("id", *COUNTS, OPT_OUT_COLUMNS))
    if as_json:
        print_json({"id": shown["id"], **{name: shown[name] for name in (*COUNTS, OPT_OUT_COLUMNS)}})
    else:
        typer.echo("\n".join(f"{shown[name]}\t{name}" for name in COUNTS))
        if shown[OPT_OUT_COLUMNS]:
            typer.echo(f"{', '.join(shown[OPT_OUT_COLUMNS])}\t{OPT_OUT_COLUMNS}")
    if report is not None:
        _download(url, key, f"/imports/{shown['id']}/report", report)


@app.command("export")
def export_contacts(
    file: Annotated[Path, typer.Argument(dir_okay=False, help="File to write.")],
    url: Url = "http://127.0.0.1:8000",
    key: Key = "",
) -> None:
    """Export all contacts to a CSV file that a spreadsheet can open and `import` accepts."""
    with _reported():
        _require_folder(file)
        _download(url, key, "/contacts/export", file)


@contextmanager
def _reported() -> Iterator[None]:
    """Exit with status 2 and one line if the API or a file cannot be used."""
    try:
        yield
    except (RemoteError, FileError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


@contextmanager
def _client(url: str, key: str, read_seconds: float) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with open_client(url, "The API", headers=headers, read_seconds=read_seconds) as client:
            yield client
    except RemoteError as error:
        raise type(error)(f"{error}. Check --url or API_URL.") from None


def _require_folder(file: Path) -> None:
    if not file.parent.is_dir():
        raise FileError(f"{file} cannot be written: the folder {file.parent} does not exist.")


def _download(url: str, key: str, path: str, file: Path) -> None:
    """Write the answer to the file. If it is broken off, the file stays as it was."""
    with _written(file) as written, _client(url, key, DOWNLOAD_SECONDS) as client:
        try:
            with client.stream("GET", path) as answer:
                if not answer.is_success:
                    answer.read()
                _require_success(answer)
                if "text/csv" not in answer.headers.get("Content-Type", ""):
                    raise AnswerError(f"The API at {url} answered with no CSV file; is it another server?")
                for block in answer.iter_bytes():
                    written.write(block)
        except OSError as error:
            raise FileError(f"{file} cannot be written: {error.strerror}.") from None


@contextmanager
def _written(file: Path) -> Iterator[BinaryIO]:
    """Open a new file that replaces `file` if the block ends without an error; a device is written as is."""
    target = file.resolve()
    device = target.exists() and not target.is_file()
    part = target if device else target.with_name(f".{target.name}.part")
    try:
        with part.open("wb") as written:
            yield written
    except OSError as error:
        raise FileError(f"{file} cannot be written: {error.strerror}.") from None
    else:
        if not device:
            part.replace(target)
    finally:
        if not device:
            part.unlink(missing_ok=True)


def _document(answer: httpx.Response, names: Iterable[str]) -> dict[str, Any]:
    """Return the JSON object of an answer that has these names."""
    _require_success(answer)
    document = parse_json(answer.content, f"The API at {answer.url}", answer.status_code)
    if not isinstance(document, dict) or not set(names) <= document.keys():
        raise AnswerError(
            f"The API at {answer.url} did not answer as the Sequence API; is it another server?"
        )
    return document


def _require_success(answer: httpx.Response) -> None:
    """Exit with status 1 and the reason if the API refused; raise AnswerError if it was no answer of ours."""
    import httpx

    if answer.is_success:
        return
    if answer.is_redirect:
        to = answer.headers.get("Location", "")
        raise AnswerError(f"The API at {answer.url} redirects to {to}; set --url or API_URL to that server.")
    document = parse_json(answer.content, f"The API at {answer.url}", answer.status_code)
    if not isinstance(document, dict) or not isinstance(document.get("message"), str):
        raise AnswerError(f"The API at {answer.url} answered with status {answer.status_code} and no reason.")
    hint = f"\n{NO_KEY}" if answer.status_code == httpx.codes.UNAUTHORIZED else ""
    typer.echo(document["message"] + hint, err=True)
    raise typer.Exit(1)


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
