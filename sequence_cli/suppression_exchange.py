"""Commands `sequences suppressions export` and `import`: suppress a file's addresses, or share hashes."""

from __future__ import annotations

import csv
import hmac
import re
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from sequence_cli.api_client import DEFAULT_URL, Key, Url
from sequence_cli.import_options import (
    Columns,
    DelimiterOption,
    DryRun,
    EncodingOption,
    ReportOption,
    SheetOption,
    file_query,
)
from sequence_cli.output import AsJson
from sequence_cli.suppression_files import import_addresses
from sequence_cli.text_input import read_text

if TYPE_CHECKING:
    from sequence_store.settings import OwnerSettings

HEADINGS = ["address_hmac", "reason", "at", "until"]

Entry = tuple[bytes, str, datetime, datetime | None]
_HASH = re.compile(r"[0-9a-f]{64}")
_KEY_LINE = "# suppressions by the hash of ADDRESS_KEY "

Hashed = Annotated[
    bool, typer.Option("--hashed", help="As hashes, which name no address. Required: no address is stored.")
]


def export_suppressions(
    hashed: Hashed = False,
    file: Annotated[Path, typer.Argument(help="File to write; - is standard output.")] = Path("-"),
) -> None:
    """Write all suppressions to a file that `import --hashed` of another deployment reads.

    The other deployment needs the same ADDRESS_KEY.
    """
    _require(hashed)
    from sequence_store.postgres.connection import connect
    from sequence_store.postgres.queries import query
    from sequence_store.settings import OwnerSettings, read_settings

    settings = read_settings(OwnerSettings)
    with connect(settings.database_url, name="sequences suppressions") as connection:
        rows = connection.execute(query("suppression_exchange", "export")).fetchall()
    if str(file) == "-":
        _write(sys.stdout, settings, rows)
    else:
        with file.open("w", encoding="utf-8", newline="") as out:
            _write(out, settings, rows)
    typer.echo(f"{len(rows):,} suppressions were written.", err=True)


def import_suppressions(
    file: Annotated[Path, typer.Argument(help="File to read; with --hashed, - is standard input.")],
    hashed: Annotated[
        bool, typer.Option("--hashed", help="The file is one of `export --hashed`, not one of addresses.")
    ] = False,
    column: Columns = None,
    encoding: EncodingOption = None,
    delimiter: DelimiterOption = None,
    sheet: SheetOption = None,
    report: ReportOption = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Suppress the addresses of a file, or those of a file that `export --hashed` wrote; stop their contacts.

    A file of addresses is imported through the API, row by row; the exit status is 1 if nothing went in. A
    file of hashes is imported as a whole or not at all. Importing a file again changes nothing.
    """
    if hashed:
        _import_hashes(file)
        return
    if str(file) == "-":
        raise typer.BadParameter("standard input is read only with --hashed", param_hint="FILE")
    if not file.is_file():
        raise typer.BadParameter(f"{file} does not exist or is no file", param_hint="FILE")
    query = file_query(column, encoding, delimiter, sheet)
    import_addresses(file, query, report, url, key, dry_run=dry_run, as_json=as_json)


def _import_hashes(file: Path) -> None:
    from sequence_store.postgres.connection import connect
    from sequence_store.postgres.queries import query
    from sequence_store.settings import OwnerSettings, read_settings

    settings = read_settings(OwnerSettings)
    rows = list(_read(read_text(file, hint="FILE").splitlines(), settings))
    with connect(settings.database_url, name="sequences suppressions") as connection:
        connection.execute(query("suppression_exchange", "create_received"))
        with connection.cursor() as cursor:
            cursor.executemany(query("suppression_exchange", "enter_received"), rows)
        connection.execute(query("suppression_exchange", "drop_ended"))
        connection.execute(query("suppression_exchange", "hash_contacts"), {"pads": settings.address_pads})
        connection.execute(query("suppression_exchange", "stop_received"))
        row = connection.execute(query("suppression_exchange", "add_received")).fetchone()
    added = row[0] if row else 0
    typer.echo(f"{added:,} of {len(rows):,} suppressions are new; their contacts get no more mail.")


def _require(hashed: bool) -> None:
    if not hashed:
        raise typer.BadParameter(
            "is required: suppressions are stored and shared as hashes only", param_hint="--hashed"
        )


def _key_mark(settings: OwnerSettings) -> str:
    """Return a mark that shows two deployments that their ADDRESS_KEY is equal, without telling it."""
    key = settings.address_key.get_secret_value().encode()
    return hmac.digest(key, b"sequences suppressions", "sha256").hex()[:16]


def _write(out: IO[str], settings: OwnerSettings, rows: list[Entry]) -> None:
    out.write(f"{_KEY_LINE}{_key_mark(settings)}\n")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADINGS)
    writer.writerows(
        (address.hex(), reason, at.isoformat(), until.isoformat() if until else "")
        for address, reason, at, until in rows
    )


def _read(lines: list[str], settings: OwnerSettings) -> Iterator[Entry]:
    """Yield the rows; raise BadParameter, which names the line, if the file is not an export of this key."""
    if not lines or not lines[0].startswith(_KEY_LINE):
        raise typer.BadParameter(
            "is not a file of `sequences suppressions export --hashed`", param_hint="FILE"
        )
    if lines[0].removeprefix(_KEY_LINE).strip() != _key_mark(settings):
        raise typer.BadParameter(
            "was exported with another ADDRESS_KEY, so its hashes match no address here", param_hint="FILE"
        )
    reader = csv.reader(lines[1:])
    if next(reader, None) != HEADINGS:
        raise typer.BadParameter(f"line 2 must be {','.join(HEADINGS)}", param_hint="FILE")
    for row in reader:
        entry = _entry(row)
        if entry is None:
            raise typer.BadParameter(
                f"line {reader.line_num + 1} is not a hash, a reason, an instant and an end; "
                "nothing was imported",
                param_hint="FILE",
            )
        yield entry


def _entry(row: list[str]) -> Entry | None:
    """Return a suppression; an empty end is none. Return None if the row is not one."""
    try:
        address, reason, at, until = row
        begin, end = datetime.fromisoformat(at), datetime.fromisoformat(until) if until else None
    except ValueError:
        return None
    if not _HASH.fullmatch(address) or not reason or begin.tzinfo is None or (end and end.tzinfo is None):
        return None
    return bytes.fromhex(address), reason, begin, end
