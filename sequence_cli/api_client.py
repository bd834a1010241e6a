"""Requests of the commands that use the Sequence API: files to it and from it, errors in one line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from sequence_cli.errors import AnswerError, FileError, RemoteError
from sequence_cli.http_client import open_client, parse_json

if TYPE_CHECKING:
    from typing import Any, BinaryIO

    import httpx

BLOCK = 256 * 1024
ANSWER_SECONDS = 60
DEFAULT_URL = "http://127.0.0.1:8000"
NO_KEY = "Set API_KEY or --key. `sequences keys create NAME` creates a key."

Url = Annotated[str, typer.Option(envvar="API_URL", help="URL of the Sequence API.")]
Key = Annotated[str, typer.Option(envvar="API_KEY", help="API key, if the API requires one.")]
Query = Mapping[str, str | list[str]]


@contextmanager
def reported() -> Iterator[None]:
    """Exit with status 2 and one line if the API or a file cannot be used."""
    try:
        yield
    except (RemoteError, FileError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


@contextmanager
def api_client(url: str, key: str, read_seconds: float) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with open_client(url, "The API", headers=headers, read_seconds=read_seconds) as client:
            yield client
    except RemoteError as error:
        raise type(error)(f"{error}. Check --url or API_URL.") from None


def send_file(
    url: str,
    key: str,
    path: str,
    file: Path,
    query: Query,
    names: Iterable[str],
    *,
    doing: str,
    seconds: float,
) -> dict[str, Any]:
    """Send a file as the body of a POST, with a progress bar; return the JSON object of the answer.

    `seconds` is how long the API may take for its answer after the file.
    """
    with api_client(url, key, seconds) as client:
        answer = client.post(path, params=query, content=_blocks(file, doing))
        return document(answer, names)


def find_sequence_id(url: str, key: str, name: str) -> str:
    """Return the id of the sequence with this name or id; raise BadParameter if there is not exactly one."""
    try:
        return str(UUID(name))
    except ValueError:
        pass
    with api_client(url, key, ANSWER_SECONDS) as client:
        answer = client.get("/sequences", params={"name": name})
        require_success(answer)
        found = parse_json(answer.content, f"The API at {answer.url}", answer.status_code)
    if not isinstance(found, list) or not all(isinstance(one, dict) and "id" in one for one in found):
        raise AnswerError(f"The API at {url} did not answer as the Sequence API; is it another server?")
    if len(found) != 1:
        ids = "".join(f"\n  {one['id']}  created {one.get('createdAt', '')}" for one in found)
        why = f"{len(found)} sequences have the name {name!r}. Name one of them by its id:{ids}"
        raise typer.BadParameter(
            why if found else f"no sequence has the name or the id {name!r}", param_hint="--sequence"
        )
    return str(found[0]["id"])


def require_folder(file: Path) -> None:
    if not file.parent.is_dir():
        raise FileError(f"{file} cannot be written: the folder {file.parent} does not exist.")


def download(
    url: str, key: str, path: str, file: Path, query: Query | None = None, *, seconds: float
) -> None:
    """Write the answer to the file. If it is broken off, the file stays as it was.

    `seconds` is how long the API may take between two parts of its answer.
    """
    with _written(file) as written, api_client(url, key, seconds) as client:
        try:
            with client.stream("GET", path, params=query) as answer:
                if not answer.is_success:
                    answer.read()
                require_success(answer)
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


def document(answer: httpx.Response, names: Iterable[str]) -> dict[str, Any]:
    """Return the JSON object of an answer that has these names."""
    require_success(answer)
    found = parse_json(answer.content, f"The API at {answer.url}", answer.status_code)
    if not isinstance(found, dict) or not set(names) <= found.keys():
        raise AnswerError(
            f"The API at {answer.url} did not answer as the Sequence API; is it another server?"
        )
    return found


def require_success(answer: httpx.Response) -> None:
    """Exit with status 1 and the reason if the API refused; raise AnswerError if it was no answer of ours."""
    import httpx

    if answer.is_success:
        return
    if answer.is_redirect:
        to = answer.headers.get("Location", "")
        raise AnswerError(f"The API at {answer.url} redirects to {to}; set --url or API_URL to that server.")
    found = parse_json(answer.content, f"The API at {answer.url}", answer.status_code)
    if not isinstance(found, dict) or not isinstance(found.get("message"), str):
        raise AnswerError(f"The API at {answer.url} answered with status {answer.status_code} and no reason.")
    hint = f"\n{NO_KEY}" if answer.status_code == httpx.codes.UNAUTHORIZED else ""
    typer.echo(found["message"] + hint, err=True)
    raise typer.Exit(1)


def _blocks(path: Path, doing: str) -> Iterator[bytes]:
    """Yield the file in blocks; show on a terminal how much is sent, and then that the API works on it."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with (
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress,
        path.open("rb") as file,
    ):
        task = progress.add_task("Uploading", total=path.stat().st_size)
        while block := file.read(BLOCK):
            progress.advance(task, len(block))
            yield block
    if console.is_terminal:
        console.print(f"{doing} …")
