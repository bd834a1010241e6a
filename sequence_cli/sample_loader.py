"""Loads a CRM export (examples/*.csv) with all dates and send windows moved to the present.

The export was made at noon on 1 June 2026, in each mailbox's time zone. The loader shifts dates by whole
planning days and send windows by the time of day: a mailbox that was open at noon is open when it is loaded.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg

from sequence_cli.errors import SampleError
from sequence_store.domain.addresses import canonical_address, entered_address
from sequence_store.postgres.queries import query
from sequence_store.settings import Settings

EXPORTED = date(2026, 6, 1)
NOON = 12 * 60
DAY_MINUTES = 24 * 60
QUARTER = 15
FILES = ("sequences", "steps", "mailboxes", "contacts", "sequence_mailboxes", "enrolments")
WEEKDAYS = {name: n for n, name in enumerate(("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"), start=1)}

Row = Mapping[str, str]


class _Line(dict[str, str]):
    """A row of a file; a missing column is reported with the file's name."""

    def __init__(self, values: Mapping[str, str], file: Path) -> None:
        super().__init__(values)
        self._file = file

    def __missing__(self, column: str) -> str:
        raise SampleError(f"{self._file} has no column {column!r}.")


@dataclass(frozen=True)
class Loaded:
    """Rows loaded per file, and enrolments per standing: (standing, enrolments, pinned to a mailbox)."""

    rows: dict[str, int]
    standings: list[tuple[str, int, int]]


@dataclass(frozen=True)
class Moment:
    """The time of loading; converts the export's dates, instants and windows to it."""

    now: datetime
    day: date

    def date(self, text: str) -> date | None:
        return self.day + (date.fromisoformat(text) - EXPORTED) if text else None

    def instant(self, text: str) -> datetime | None:
        return self.now + (date.fromisoformat(text) - EXPORTED) if text else None

    def window(self, opens: str, closes: str, zone: str) -> tuple[time, time]:
        """Shift the window by the local time minus noon, rounded down to 15 minutes."""
        if opens == closes:
            return time.fromisoformat(opens), time.fromisoformat(closes)
        local = self.now.astimezone(ZoneInfo(zone))
        ahead = (local.hour * 60 + local.minute) // QUARTER * QUARTER - NOON
        return _shift(opens, ahead), _shift(closes, ahead)


def load_sample(
    connection: psycopg.Connection[Any], settings: Settings, folder: Path, *, now: datetime
) -> Loaded | None:
    """Load the export in one transaction, which the caller commits; return None if it is already loaded.

    Raises SampleError if a file or a value cannot be read or the database holds other sequences.
    """
    files = {name: _read(folder / f"{name}.csv") for name in FILES}
    connection.execute(query("sample", "lock_loading"))
    if _is_loaded(connection, files["sequences"]):
        return None
    moment = Moment(now, settings.calendar.day_of(now))
    try:
        _load_people(connection, files, moment)
        _load_links(connection, files, moment)
    except (ValueError, KeyError, psycopg.DataError, psycopg.IntegrityError) as error:
        reason = str(error).partition("\n")[0]
        raise SampleError(f"The files in {folder} have a value that cannot be loaded: {reason}.") from error
    connection.execute(query("sample", "suppress_ended"), {"pads": settings.address_pads})
    connection.execute(query("sample", "gather_statistics"))
    summary = connection.execute(query("sample", "summarise_enrolments"), {"day": moment.day})
    return Loaded({name: len(rows) for name, rows in files.items()}, summary.fetchall())


def _is_loaded(connection: psycopg.Connection[Any], sequences: Iterable[Row]) -> bool:
    names = [row["Sequence"] for row in sequences]
    (there,) = connection.execute(query("sample", "count_sequences")).fetchone() or (0,)
    (of_sample,) = connection.execute(query("sample", "count_sample"), {"names": names}).fetchone() or (0,)
    if there and of_sample < len(names):
        raise SampleError(
            f"The database holds {there} sequences already; the sample data needs an empty database. "
            "Set DATABASE_URL to another database, or remove the local data with `make clean`."
        )
    return bool(there)


def _load_people(connection: psycopg.Connection[Any], files: Mapping[str, list[Row]], at: Moment) -> None:
    _copy(connection, "copy_sequences", (_sequence(row) for row in files["sequences"]))
    _copy(connection, "copy_mailboxes", (_mailbox(row, at) for row in files["mailboxes"]))
    _copy(connection, "copy_contacts", (_contact(row) for row in files["contacts"]))


def _load_links(connection: psycopg.Connection[Any], files: Mapping[str, list[Row]], at: Moment) -> None:
    sequences = _ids(connection, "read_sequence_ids")
    mailboxes = _ids(connection, "read_mailbox_ids")
    contacts = _ids(connection, "read_contact_ids")
    _copy(connection, "copy_steps", ((sequences[row["Sequence"]], *_step(row)) for row in files["steps"]))
    _copy(
        connection,
        "copy_routes",
        ((sequences[row["Sequence"]], mailboxes[row["Mailbox"]]) for row in files["sequence_mailboxes"]),
    )
    _copy(
        connection,
        "copy_enrolments",
        (
            (
                sequences[row["Sequence"]],
                contacts[canonical_address(row["Email"])],
                row["Status"],
                row["Step"],
                at.date(row["Next Send"]),
                at.date(row["Last Send"]),
                mailboxes[row["Mailbox"]] if row["Mailbox"] else None,
            )
            for row in files["enrolments"]
        ),
    )


def _sequence(row: Row) -> tuple[Any, ...]:
    return row["Sequence"], row["Active"] == "Yes", row["Priority"], row["Max New Per Day"] or None


def _step(row: Row) -> tuple[Any, ...]:
    return row["Step"], row["Step Name"], row["Wait Days"], row["Subject"], row["Body"]


def _contact(row: Row) -> tuple[Any, ...]:
    attributes = {
        "first_name": row["First Name"],
        "company": row["Company"],
        "job_title": row["Job Title"],
        "city": row["City"],
        "country": row["Country"],
    }
    name = f"{row['First Name']} {row['Last Name']}"
    address = entered_address(row["Email"])
    return name, str(address), address.other_spelling, row["Status"] == "Active", json.dumps(attributes)


def _mailbox(row: Row, at: Moment) -> tuple[Any, ...]:
    return (
        row["Email"],
        row["Display Name"],
        row["Daily Limit"],
        *at.window(row["Opens"], row["Closes"], row["Time Zone"]),
        row["Time Zone"],
        [WEEKDAYS[name] for name in row["Send Days"].split()],
        row["Seconds Between Mails"],
        row["Holidays"] or None,
        row["Max First Mails"] or None,
        row["Ramp-up Start"] or None,
        row["Ramp-up Per Day"] or None,
        at.date(row["Ramp-up Since"]),
        row["Active"] == "Yes",
        at.instant(row["Parked Until"]),
        row["Parked Reason"] or None,
    )


def _shift(clock: str, minutes: int) -> time:
    unshifted = time.fromisoformat(clock)
    hour, minute = divmod((unshifted.hour * 60 + unshifted.minute + minutes) % DAY_MINUTES, 60)
    return time(hour, minute)


def _read(file: Path) -> list[Row]:
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            return [_Line(row, file) for row in csv.DictReader(lines)]
    except FileNotFoundError:
        raise SampleError(f"{file} does not exist. Run the command in the project's root folder.") from None


def _ids(connection: psycopg.Connection[Any], name: str) -> dict[str, int]:
    return dict(connection.execute(query("sample", name)).fetchall())


def _copy(connection: psycopg.Connection[Any], name: str, rows: Iterable[tuple[Any, ...]]) -> None:
    with connection.cursor() as cursor, cursor.copy(query("sample", name)) as copy:
        for row in rows:
            copy.write_row(row)
