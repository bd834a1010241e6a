"""Writes the facts of finished mails as Parquet, a file a planning day; compares the files with the ledger.

The files are `<ASSET_STORE>/facts/mail_facts/day=YYYY-MM-DD/mail_facts.parquet`, each replaced as a whole.
Late events, such as a reply after a week, mark the day of their mail (`fact_days`); it is written again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.fs
import pyarrow.parquet as pq

from sequence_store.domain.planning_day import PlanningCalendar
from sequence_store.feed import drain_feed
from sequence_store.postgres.queries import query

FOLDER, FILE = "facts/mail_facts", "mail_facts.parquet"
_INSTANT = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        ("sequence_id", pa.string()),
        ("step_id", pa.string()),
        ("step_number", pa.int32()),
        ("mailbox_id", pa.string()),
        ("contact_id", pa.string()),
        ("round", pa.int16()),
        ("plan_day", pa.date32()),
        ("send_day", pa.date32()),
        ("outcome", pa.string()),
        ("reason", pa.string()),
        ("smtp_code", pa.int32()),
        ("enhanced_code", pa.string()),
        ("planned_at", _INSTANT),
        ("sent_at", _INSTANT),
        ("finished_at", _INSTANT),
        ("lateness_seconds", pa.float64()),
        ("attempts", pa.int32()),
        ("first_opened_at", _INSTANT),
        ("opens", pa.int32()),
        ("first_clicked_at", _INSTANT),
        ("clicks", pa.int32()),
        ("machine_opened_at", _INSTANT),
        ("machine_opens", pa.int32()),
        ("machine_clicked_at", _INSTANT),
        ("machine_clicks", pa.int32()),
        ("replied_at", _INSTANT),
        ("auto_replied_at", _INSTANT),
        ("bounced_at", _INSTANT),
        ("bounce_kind", pa.string()),
        ("complained_at", _INSTANT),
        ("unsubscribed_at", _INSTANT),
        ("is_first_mail", pa.bool_()),
    ]
)
_CONVERT = pa.csv.ConvertOptions(
    column_types=SCHEMA,
    null_values=[""],
    strings_can_be_null=True,
    quoted_strings_can_be_null=False,
    true_values=["t"],
    false_values=["f"],
)
_PARSE = pa.csv.ParseOptions(newlines_in_values=True)
_READ = pa.csv.ReadOptions(block_size=8 << 20)


class Difference(NamedTuple):
    """A count of a day that differs between its file and the ledger."""

    day: date
    what: str
    file: int
    ledger: int


class FactFiles:
    """The Parquet files of the facts, in a folder or in S3."""

    def __init__(self, store: str) -> None:
        uri = store if "://" in store else Path(store).absolute().as_uri()
        self._files, root = pa.fs.FileSystem.from_uri(uri)
        self._root = f"{root}/{FOLDER}"

    def path(self, day: date) -> str:
        return f"{self._root}/day={day}/{FILE}"

    def write(self, connection: psycopg.Connection[Any], day: date, calendar: PlanningCalendar) -> int:
        """Write the file of a day from one snapshot of the database; return its rows. Commits.

        A reader gets the new file or the previous one, never a part.
        """
        with connection.transaction(), tempfile.TemporaryFile() as exported:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            taken = connection.execute("SELECT clock_timestamp()").fetchone()
            with connection.cursor().copy(query("facts", "export_day"), _bounds(day, calendar)) as copy:
                for block in copy:
                    exported.write(block)
            exported.seek(0)
            mails = self._convert(exported, day)
        at = taken[0] if taken else None
        connection.execute(query("facts", "keep_written_day"), {"day": day, "at": at, "mails": mails})
        connection.commit()
        return mails

    def _convert(self, exported: Any, day: date) -> int:
        path = self.path(day)
        part = f"{path}.part"
        self._files.create_dir(path.rpartition("/")[0], recursive=True)
        mails = 0
        with (
            pa.csv.open_csv(
                exported, read_options=_READ, parse_options=_PARSE, convert_options=_CONVERT
            ) as batches,
            pq.ParquetWriter(part, SCHEMA, filesystem=self._files) as writer,
        ):
            for batch in batches:
                mails += batch.num_rows
                writer.write_batch(batch)
        self._files.move(part, path)
        return mails

    def count(self, day: date) -> dict[str, int]:
        """Return the counts of a day's file under the names of `count_day`; zeros if it is missing."""
        try:
            table = pq.read_table(self.path(day), filesystem=self._files)
        except FileNotFoundError:
            table = SCHEMA.empty_table()

        def present(name: str) -> int:
            return len(table) - int(table[name].null_count)

        def outcome(word: str) -> int:
            return int(pc.sum(pc.equal(table["outcome"], word)).as_py() or 0)

        fetched = ("opens", "clicks", "machine_opens", "machine_clicks")
        return {
            "mails": len(table),
            **{word: outcome(word) for word in ("sent", "unknown", "hard_failed")},
            "contacts": present("contact_id"),
            "opened": present("first_opened_at"),
            "clicked": present("first_clicked_at"),
            "fetches": sum(int(pc.sum(table[name]).as_py() or 0) for name in fetched),
            **{name: present(f"{name}_at") for name in ("replied", "bounced", "complained", "unsubscribed")},
        }

    def remove(self, day: date) -> None:
        self._files.delete_dir(self.path(day).rpartition("/")[0])


def mark_changed_days(connection: psycopg.Connection[Any], calendar: PlanningCalendar) -> None:
    """Give the latest events their positions, and mark the days that they changed. Commits."""
    drain_feed(connection)
    connection.execute(query("facts", "mark_changed_days"), _clock(calendar))
    connection.commit()


def changed_days(connection: psycopg.Connection[Any], since: date) -> list[date]:
    """Return the days from `since` on whose file is not current, the latest first."""
    return [day for (day,) in connection.execute(query("facts", "find_changed_days"), {"since": since})]


def find_differences(
    connection: psycopg.Connection[Any], files: FactFiles, calendar: PlanningCalendar, since: date
) -> tuple[int, list[Difference]]:
    """Compare the current files from `since` on with the ledger; return how many, and the differences."""
    mark_changed_days(connection, calendar)
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        comparable = connection.execute(
            query("facts", "find_comparable_days"), {"since": since, **_clock(calendar)}
        )
        days = [day for (day,) in comparable]
        found = [difference for day in days for difference in _differences(connection, files, calendar, day)]
    return len(days), found


def _differences(
    connection: psycopg.Connection[Any], files: FactFiles, calendar: PlanningCalendar, day: date
) -> Iterator[Difference]:
    cursor = connection.execute(query("facts", "count_day"), _bounds(day, calendar))
    names = [column.name for column in cursor.description or ()]
    ledger = dict(zip(names, cursor.fetchone() or (), strict=True))
    for name, number in files.count(day).items():
        if number != ledger[name]:
            yield Difference(day, name, number, int(ledger[name]))


def remove_old_files(connection: psycopg.Connection[Any], files: FactFiles, before: date) -> int:
    """Remove the files of the days before `before`; return how many. Commits."""
    days = [day for (day,) in connection.execute(query("facts", "find_old_days"), {"before": before})]
    for day in days:
        files.remove(day)
        connection.execute(query("facts", "forget_day"), {"day": day})
        connection.commit()
    return len(days)


def days_to_rewrite(now: datetime, today: date) -> date:
    """Return the oldest day that the run at `now` writes again: a week, nightly 35 days, monthly all."""
    if now.hour == 0 and now.day == 1:
        return date.min
    return today - timedelta(days=35 if now.hour == 0 else 7)


def _bounds(day: date, calendar: PlanningCalendar) -> dict[str, datetime]:
    return {"begins": calendar.start_of(day), "ends": calendar.end_of(day)}


def _clock(calendar: PlanningCalendar) -> dict[str, Any]:
    starts = timedelta(hours=calendar.plan_at.hour, minutes=calendar.plan_at.minute)
    return {"zone": calendar.zone.key, "plan_at": starts}
