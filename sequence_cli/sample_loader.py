"""Loads the sample CSVs of `examples/` into an empty database, with dates and windows around now."""

from __future__ import annotations

import csv
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from rich.console import Console

from sequence_store.database import connect
from sequence_store.errors import StoreError
from sequence_store.settings import OwnerSettings

EXAMPLES = Path(__file__).parents[1] / "examples"
AROUND = timedelta(hours=5)  # how far a window that is open around now reaches to either side


def load_samples(settings: OwnerSettings, *, now: datetime | None = None) -> int:
    """Load everything in one transaction; return how many contacts, 0 where the database holds some already."""
    now = now or datetime.now(UTC)
    with connect(settings.database_url, name="sequences sample-data") as connection:
        row = connection.execute("SELECT EXISTS (SELECT FROM sequences)").fetchone()
        if row and row[0]:
            return 0
        sequences = _load_sequences(connection)
        mailboxes = _load_mailboxes(connection, sequences, now)
        boxes = len({box for ids in mailboxes.values() for box in ids})
        contacts = _load_contacts(connection, sequences, mailboxes, settings.calendar.day_of(now))
    Console().print(f"Loaded {len(sequences)} sequences, {boxes} mailboxes and {contacts} contacts.")
    return contacts


def _read(name: str) -> list[dict[str, str]]:
    try:
        with (EXAMPLES / name).open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        raise StoreError(
            f"There is no {name} in {EXAMPLES}: sample data comes with a clone of the project."
        ) from None


def _load_sequences(connection: psycopg.Connection[Any]) -> dict[str, int]:
    ids: dict[str, int] = {}
    for row in _read("sequences.csv"):
        if row["Sequence"] not in ids:
            ids[row["Sequence"]] = _one(
                connection, "INSERT INTO sequences (sequence_name) VALUES (%s) RETURNING id", row["Sequence"]
            )
        connection.execute(
            "INSERT INTO steps (sequence_id, step_number, mail_subject, mail_content, delay_days) "
            "VALUES (%s, %s, %s, %s, %s)",
            (
                ids[row["Sequence"]],
                int(row["Step"]),
                row["Subject"],
                row["Content"],
                int(row["Delay (days)"]),
            ),
        )
    return ids


def _load_mailboxes(
    connection: psycopg.Connection[Any], sequences: dict[str, int], now: datetime
) -> dict[str, list[int]]:
    """Return the mailboxes' ids by sequence name."""
    by_sequence: dict[str, list[int]] = {name: [] for name in sequences}
    for row in _read("mailboxes.csv"):
        local = now.astimezone(ZoneInfo(row["Time Zone"]))
        always = row["Window"] == "always"
        starts = "00:00" if always else (local - AROUND).strftime("%H:%M")
        ends = "00:00" if always else (local + AROUND).strftime("%H:%M")
        ramp = int(row["Ramp-up Start"]) if row["Ramp-up Start"] else None
        mailbox = _one(
            connection,
            "INSERT INTO mailboxes (address, display_name, send_limit, send_start_time, send_end_time, time_zone, "
            "is_active, min_gap_seconds, send_days, parked_until, parked_reason, ramp_up_start, "
            "ramp_up_daily_increment, ramp_up_started) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING id",
            row["Address"],
            row["Name"],
            int(row["Daily Limit"]),
            starts,
            ends,
            row["Time Zone"],
            row["Active"] == "yes",
            int(row["Gap (seconds)"]),
            [int(d) for d in row["Send Days"].split()],
            now + timedelta(days=1) if row["State"] == "parked" else None,
            "over its daily quota" if row["State"] == "parked" else None,
            ramp,
            ramp and 2,
            now.date() - timedelta(days=3) if ramp else None,
        )
        for name in row["Sequences"].split(" | "):
            connection.execute("INSERT INTO sequences_mailboxes VALUES (%s, %s)", (sequences[name], mailbox))
            by_sequence[name].append(mailbox)
    return by_sequence


def _load_contacts(
    connection: psycopg.Connection[Any],
    sequences: dict[str, int],
    mailboxes: dict[str, list[int]],
    today: date,
) -> int:
    rows = _read("contacts.csv")
    first = _one(connection, "SELECT coalesce(max(id), 0) + 1 FROM contacts")
    with connection.cursor() as cursor:
        with cursor.copy("COPY contacts (id, name, mail_address, attributes) FROM STDIN") as copy:
            for number, row in enumerate(rows, first):
                name = f"{row['First Name']} {row['Last Name']}"
                copy.write_row((number, name, row["Email"], json.dumps({"company": row["Company"]})))
        with cursor.copy(
            "COPY sequences_contacts (sequence_id, contact_id, status, current_step, next_send, last_send, mailbox_id) "
            "FROM STDIN"
        ) as copy:
            for number, row in enumerate(rows, first):
                boxes = mailboxes[row["Sequence"]]
                standing = _standing(row["Status"], number, today, boxes[number % len(boxes)])
                copy.write_row((sequences[row["Sequence"]], number, *standing))
    connection.execute("SELECT setval(pg_get_serial_sequence('contacts', 'id'), max(id)) FROM contacts")
    return len(rows)


def _standing(
    status: str, number: int, today: date, mailbox: int
) -> tuple[str, int, date | None, date | None, int | None]:
    """Return status, current_step, next_send, last_send and mailbox of one contact's enrolment."""
    some_days = timedelta(days=1 + number % 5)
    match status:
        case "new":
            return "active", 1, today, None, None
        case "overdue":
            return "active", 1, today - some_days, None, None
        case "later":
            return "active", 1, today + some_days, None, None
        case "follow-up":
            return "active", 2, today, today - some_days, mailbox
        case _:
            return "completed", 6, None, today - some_days, mailbox


def _one(connection: psycopg.Connection[Any], statement: str, *values: Any) -> Any:
    row = connection.execute(statement, values).fetchone()
    return row[0] if row else None
