"""Tests that feed, facts, roll-ups and ledger agree, whatever order and repetition events come in."""

from __future__ import annotations

import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local_stack.postgres import OWNER, Postgres, binaries
from sequence_pipelines.maintenance.facts import (
    FactFiles,
    changed_days,
    days_to_rewrite,
    find_differences,
    mark_changed_days,
    remove_old_files,
)
from sequence_store.domain.rates import COUNTS
from sequence_store.feed import drain_feed
from sequence_store.postgres.connection import connect
from sequence_store.postgres.queries import query
from tests.conftest import Database, Services

PADS = "decode(repeat('00', 128), 'hex')"
EARLIER = datetime.now(UTC) - timedelta(hours=3)
# The view's rows by the same rules as the counts of a day, in plain SQL.
COUNTED = """
    SELECT count(*) FILTER (WHERE outcome IN ('sent', 'unknown')) AS mails,
        count(*) FILTER (WHERE outcome = 'sent') AS sent,
        count(*) FILTER (WHERE outcome = 'unknown') AS unknown,
        count(*) FILTER (WHERE outcome = 'hard_failed') AS hard_failed,
        count(first_opened_at) FILTER (WHERE outcome <> 'hard_failed') AS opened,
        count(first_clicked_at) FILTER (WHERE outcome <> 'hard_failed') AS clicked,
        count(machine_opened_at) FILTER (WHERE outcome <> 'hard_failed') AS machine_opened,
        count(machine_clicked_at) FILTER (WHERE outcome <> 'hard_failed') AS machine_clicked,
        count(replied_at) FILTER (WHERE outcome <> 'hard_failed') AS replied,
        count(*) FILTER (WHERE bounce_kind = 'hard' OR outcome = 'hard_failed') AS bounced,
        count(complained_at) FILTER (WHERE outcome <> 'hard_failed') AS complained,
        count(unsubscribed_at) FILTER (WHERE outcome <> 'hard_failed') AS unsubscribed,
        count(*) FILTER (WHERE is_first_mail) AS enrolments
    FROM mail_facts"""

ACTION = st.tuples(
    st.integers(0, 5),  # the mail
    st.sampled_from(
        ["send", "refuse", "lose", "retry", "settle", "open", "click", "scan", "reply", "bounce", "complaint"]
    )
    | st.sampled_from(["soft_bounce", "auto_reply", "unsubscribe", "archive", "sequence", "nothing"]),
)


class Mails:
    """Six mails of two sequences, two contacts and two mailboxes; SQL does what programs do."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.keys: list[tuple[int, int, int]] = []

    def reset(self) -> None:
        self.run(
            "TRUNCATE sends, archived_sends, send_events, sequences_contacts, mail_outcomes, outcome_days,"
            " fact_days, reputation_events, send_counts, suppressions, contacts, sequences, steps, mailboxes"
            " CASCADE"
        )
        self.run("UPDATE feed SET last_position = 0, removed_to = 0, facts_position = 0")
        self.keys = []
        for box in (1, 2):
            self.run(
                "INSERT INTO mailboxes (id, address, send_limit, send_start_time, send_end_time)"
                f" VALUES ({box}, 'box{box}@s.example', 9, '09:00', '17:00')"
            )
            self.run(f"INSERT INTO contacts (id, name, mail_address) VALUES ({box}, 'c', 'c{box}@p.example')")
        for sequence, steps in ((1, (1, 2)), (2, (3,))):
            self.run(f"INSERT INTO sequences (id, sequence_name) VALUES ({sequence}, 's{sequence}')")
            for step in steps:
                self.run(
                    "INSERT INTO steps (id, sequence_id, step_number, mail_content)"
                    f" VALUES ({step}, {sequence}, {step}, 'x')"
                )
            for contact in (1, 2):
                self.run(
                    f"INSERT INTO sequences_contacts (sequence_id, contact_id) VALUES ({sequence}, {contact})"
                )
                self.keys += [(sequence, contact, step) for step in steps]
        for sequence, contact, step in self.keys:
            self.run(
                "INSERT INTO sends (sequence_id, contact_id, step_id, round, mailbox_id, due_day, plan_day,"
                " send_day,"
                " send_at, not_after, status) VALUES (%s, %s, %s, 1, %s, %s, %s, %s, %s, %s, 'transmitting')",
                sequence,
                contact,
                step,
                contact,
                EARLIER.date(),
                EARLIER.date(),
                (EARLIER - timedelta(days=step)).date(),
                EARLIER,
                EARLIER + timedelta(hours=2),
            )

    def run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        cursor = self.connection.execute(statement, values)
        return cursor.fetchall() if cursor.description else []

    def act(self, mail: int, action: str) -> None:
        key = self.keys[mail % len(self.keys)]
        where = "sequence_id = %s AND contact_id = %s AND step_id = %s AND round = 1"
        became = {"send": "sent", "refuse": "hard_failed", "lose": "unknown"}
        if action in became:
            self.run(
                f"UPDATE sends SET status = %s, finished_at = clock_timestamp() WHERE {where}"
                " AND status = 'transmitting'",
                became[action],
                *key,
            )
        elif action in ("retry", "settle"):
            self.run(
                "SELECT resolve_send(%s, %s, %s, 1, %s)", *key, "sent" if action == "settle" else "retry"
            )
            self.run(f"UPDATE sends SET status = 'transmitting' WHERE {where} AND status = 'planned'", *key)
        elif action in ("open", "click", "scan"):
            kind = "opened" if action == "open" else "clicked"
            self.run("SELECT record_link(%s, %s, %s, 1, %s, %s, %s, 100)", *key, kind, mail, action == "scan")
        elif action == "unsubscribe":
            self.run(f"SELECT unsubscribe(%s, %s, %s, 1, {PADS})", *key)
        elif action == "archive":
            self.run(
                f"WITH gone AS (DELETE FROM sends WHERE {where} AND status IN ('sent', 'hard_failed')"
                " RETURNING *)"
                " INSERT INTO archived_sends (sequence_id, contact_id, step_id, mailbox_id, send_at,"
                " finished_at, due_day, plan_day, send_day, attempt, round, status) SELECT sequence_id,"
                " contact_id, step_id, mailbox_id, send_at, finished_at, due_day, plan_day, send_day,"
                " attempt,"
                " round, status FROM gone",
                *key,
            )
        elif action == "sequence":
            drain_feed(self.connection, hold_seconds=0)
        elif action != "nothing":
            self.run(
                f"SELECT record_feedback(%s, %s, %s, 1, %s, '{{}}', interval '1 day', {PADS})", *key, action
            )


def row_of(connection: Any, statement: str) -> dict[str, int]:
    cursor = connection.execute(statement)
    names = [column.name for column in cursor.description]
    return {name: int(value or 0) for name, value in zip(names, cursor.fetchone(), strict=True)}


def sums(grain: str) -> str:
    columns = ", ".join(f"sum({name}) AS {name}" for name in COUNTS)
    return f"SELECT {columns} FROM outcome_days WHERE grain = '{grain}'"


@pytest.fixture
def mails(database: Database) -> Iterator[Mails]:
    with database.connect(autocommit=True) as connection:
        yield Mails(connection)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(actions=st.lists(ACTION, max_size=30))
def test_feed_facts_rollups_and_ledger_agree_in_any_order(
    mails: Mails, actions: list[tuple[int, str]]
) -> None:
    mails.reset()
    for mail, action in actions:
        mails.act(mail, action)
    drain_feed(mails.connection, hold_seconds=0)
    facts = row_of(mails.connection, COUNTED)
    grains = [grain for (grain,) in mails.run("SELECT DISTINCT grain FROM outcome_days")]
    assert len(grains) in {0, 7}
    for grain in grains:
        counted = row_of(mails.connection, sums(grain))
        assert {name: counted[name] for name in facts} == facts, grain
    positions = [row[0] for row in mails.run("SELECT position FROM send_events ORDER BY id")]
    assert sorted(positions) == list(range(1, len(positions) + 1)), "no gap, no double"
    ledger = dict(
        mails.run(
            "SELECT status, count(*) FROM"
            " (SELECT status FROM sends UNION ALL SELECT status FROM archived_sends) s"
            " WHERE status IN ('sent', 'hard_failed', 'unknown') GROUP BY 1"
        )
    )
    assert {name: facts[name] for name in ("sent", "hard_failed", "unknown") if facts[name]} == ledger
    assert all(
        at == first
        for at, first in mails.run(
            "SELECT o.replied_at, (SELECT min(at) FROM send_events v WHERE v.step_id = o.step_id"
            " AND v.contact_id = o.contact_id AND v.kind = 'reply') FROM mail_outcomes o"
        )
    )
    assert mails.run(
        "SELECT count(*) FROM outcome_days WHERE least(mails, sent, unknown, hard_failed, opened,"
        " clicked, replied, bounced, complained, unsubscribed, enrolments, enrolments_replied) < 0"
    ) == [(0,)]


def test_reader_beside_writers_and_a_transaction_left_open_misses_nothing(database: Database) -> None:
    """The open transaction wrote first and commits last: it stalls no one and is not lost."""
    writers, each = 100, 5

    def write(number: int) -> None:
        with database.connect() as connection:
            for n in range(each):
                connection.execute(
                    "INSERT INTO send_events (contact_id, kind, detail) VALUES (%s, 'auto_reply',"
                    " jsonb_build_object('attempt', %s::int))",
                    [number, n],
                )
                connection.commit()

    seen: list[tuple[int, int, int]] = []
    after = 0
    with database.connect() as left_open, database.connect("pipeline", autocommit=True) as reader:
        left_open.execute("INSERT INTO send_events (contact_id, kind) VALUES (0, 'auto_reply')")
        threads = [threading.Thread(target=write, args=(number,)) for number in range(1, writers + 1)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 60
        while len(seen) < writers * each and time.monotonic() < deadline:
            drain_feed(reader)
            rows = reader.execute(
                "SELECT position, contact_id, coalesce((detail->>'attempt')::int, -1) FROM send_events"
                " WHERE position > %s ORDER BY position",
                [after],
            ).fetchall()
            seen += rows
            after = rows[-1][0] if rows else after
        assert len(seen) == writers * each, "the open transaction stalled the reader"
        for thread in threads:
            thread.join()
        left_open.commit()
        drain_feed(reader)
        seen += reader.execute(
            "SELECT position, contact_id, -1 FROM send_events WHERE position > %s ORDER BY position", [after]
        ).fetchall()
    assert [position for position, _, _ in seen] == list(range(1, writers * each + 2))
    assert seen[-1][1] == 0
    by_contact: dict[int, list[int]] = {}
    for _, contact, n in seen:
        by_contact.setdefault(contact, []).append(n)
    assert all(by_contact[number] == list(range(each)) for number in range(1, writers + 1)), (
        "order of a contact"
    )


def test_two_sequencers_give_each_position_once(database: Database) -> None:
    with database.connect() as connection:
        connection.execute("INSERT INTO send_events (kind) SELECT 'auto_reply' FROM generate_series(1, 5000)")
    done: Counter[str] = Counter()

    def drain(name: str) -> None:
        with database.connect("pipeline", autocommit=True) as connection:
            for _ in range(50):
                done[name] += drain_feed(connection)

    threads = [threading.Thread(target=drain, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.connect() as connection:
        found = connection.execute(
            "SELECT count(DISTINCT position), max(position) FROM send_events"
        ).fetchone()
    assert found == (5000, 5000)
    assert done.total() == 5000


def test_dump_restored_into_another_database_goes_on_where_it_was(
    database: Database, postgres: Postgres
) -> None:
    """Positions are stored, and no transaction id matters: what was waiting gets the next positions."""
    with database.connect(autocommit=True) as connection:
        connection.execute("INSERT INTO send_events (kind) SELECT 'auto_reply' FROM generate_series(1, 10)")
        drain_feed(connection)
        connection.execute("INSERT INTO send_events (kind) SELECT 'resolved' FROM generate_series(1, 3)")
    prefix = [*postgres.run_as.prefix]
    url = postgres.url("postgres", database.name)
    dump = subprocess.run([*prefix, str(binaries() / "pg_dump"), url], capture_output=True, check=True).stdout
    postgres.create_database("restored_feed")
    restored_url = postgres.url("postgres", "restored_feed")
    subprocess.run(
        [*prefix, str(binaries() / "psql"), "-q", "-v", "ON_ERROR_STOP=1", restored_url],
        input=dump,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    try:
        with connect(postgres.url(OWNER, "restored_feed"), name="test", autocommit=True) as restored:
            assert drain_feed(restored) == 3
            rows = restored.execute(
                "SELECT position, kind FROM send_events WHERE position > 10 ORDER BY 1"
            ).fetchall()
            assert rows == [(11, "resolved"), (12, "resolved"), (13, "resolved")]
            restored.execute("INSERT INTO send_events (kind) VALUES ('restored')")
            assert drain_feed(restored) == 1
    finally:
        postgres.drop_database("restored_feed")


def test_file_of_a_day_has_the_facts_and_late_events_write_it_again(
    mails: Mails, database: Database, settings: Services, tmp_path: Path
) -> None:
    mails.reset()
    for mail in range(4):
        mails.act(mail, "send")
    mails.act(4, "refuse")
    files, calendar = FactFiles(str(tmp_path)), settings.pipeline.calendar
    today = calendar.day_of(datetime.now(UTC))
    week = today - timedelta(days=7)
    with database.connect("pipeline", autocommit=True) as connection:
        mark_changed_days(connection, calendar)
        assert changed_days(connection, week) == [today]
        assert files.write(connection, today, calendar) == 5
        assert changed_days(connection, week) == []
        assert find_differences(connection, files, calendar, week) == (1, [])
        mails.act(0, "reply")
        mark_changed_days(connection, calendar)
        assert changed_days(connection, week) == [today], "a late reply"
        files.write(connection, today, calendar)
        table = pq.read_table(files.path(today))
        assert table["replied_at"].null_count == 4
        assert sorted(table["outcome"].to_pylist()) == ["hard_failed", *["sent"] * 4]
        assert not [name for name in tmp_path.rglob("*") if name.suffix == ".part"]
        contact = mails.run("SELECT external_id FROM contacts WHERE id = 1")[0][0]
        mails.run(f"SELECT erase_contact(%s, {PADS})", contact)
        mark_changed_days(connection, calendar)
        assert changed_days(connection, week) == [today], "an erased contact"
        files.write(connection, today, calendar)
        assert str(contact) not in pq.read_table(files.path(today))["contact_id"].to_pylist()
        assert find_differences(connection, files, calendar, week) == (1, [])


def test_file_that_differs_from_the_ledger_is_found(
    mails: Mails, database: Database, settings: Services, tmp_path: Path
) -> None:
    mails.reset()
    mails.act(0, "send")
    files, calendar = FactFiles(str(tmp_path)), settings.pipeline.calendar
    today = calendar.day_of(datetime.now(UTC))
    with database.connect("pipeline", autocommit=True) as connection:
        mark_changed_days(connection, calendar)
        files.write(connection, today, calendar)
        table = pq.read_table(files.path(today))
        pq.write_table(table.slice(0, 0), files.path(today))
        compared, found = find_differences(connection, files, calendar, today)
        assert compared == 1
        assert (found[0].what, found[0].file, found[0].ledger) == ("mails", 0, 1)
        assert remove_old_files(connection, files, today + timedelta(days=1)) == 1
        assert not Path(files.path(today)).exists()


@pytest.mark.parametrize(
    ("now", "oldest"),
    [
        ("2026-03-10 01:20", "2026-03-03"),
        ("2026-03-10 00:20", "2026-02-03"),
        ("2026-03-01 00:20", "0001-01-01"),
    ],
)
def test_days_are_written_again_hourly_for_a_week_nightly_for_five_and_monthly(now: str, oldest: str) -> None:
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert str(days_to_rewrite(at, at.date())) == oldest


def test_mail_that_finished_a_week_after_its_second_is_in_the_file_of_its_day(
    mails: Mails, database: Database, settings: Services, tmp_path: Path
) -> None:
    mails.reset()
    mails.run("UPDATE sends SET send_at = send_at - interval '9 days', send_day = send_day - 9")
    mails.act(0, "lose")
    files, calendar = FactFiles(str(tmp_path)), settings.pipeline.calendar
    today = calendar.day_of(datetime.now(UTC))
    with database.connect("pipeline", autocommit=True) as connection:
        mark_changed_days(connection, calendar)
        assert files.write(connection, today, calendar) == 1
        assert find_differences(connection, files, calendar, today) == (1, [])


DAYS = st.dates(date(2026, 1, 1), date(2026, 6, 30))


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(first=DAYS, last=DAYS, by=st.sampled_from(["sequence", "step", "mailbox", "day"]), one=st.booleans())
def test_statistics_of_any_days_are_the_sums_of_their_mails(
    mails: Mails, first: Any, last: Any, by: str, one: bool
) -> None:
    """Whole months are read from the rows of months, the days around them from those of days."""
    if not mails.keys:
        mails.reset()
        mails.run(
            "INSERT INTO sends (sequence_id, contact_id, step_id, round, mailbox_id, due_day, plan_day,"
            " send_day, send_at, not_after, status)"
            " SELECT 1, 100 + n, 1 + mod(n, 2), 1, 1 + mod(n, 2), d, d, d, d, d, 'transmitting'"
            " FROM generate_series(0, 365) n, LATERAL (SELECT date '2025-12-20' + mod(n * 7, 200) AS d) t"
        )
        mails.run("UPDATE sends SET status = 'sent', finished_at = send_at")
        drain_feed(mails.connection)
    first, last = sorted((first, last))
    parameters = {"sequence": 1 if one else None, "from": first, "to": last, "most": 1000}
    cursor = mails.connection.execute(query("stats", f"by_{by}"), parameters)
    column = [each.name for each in cursor.description].index("mails")
    found = sum(row[column] for row in cursor.fetchall())
    assert (
        found
        == mails.run(
            "SELECT count(*) FROM sends WHERE send_day BETWEEN %s AND %s AND (sequence_id = 1 OR %s)",
            first,
            last,
            not one,
        )[0][0]
    )
