"""Tests of the sample data and its loader."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest

from sequence_cli.errors import SampleError
from sequence_cli.sample_loader import Loaded, Moment, load_sample
from sequence_pipelines.planning.planner import Plan, make_plan
from tests.conftest import Database, MakeSettings, Services

EXAMPLES = Path(__file__).parents[2] / "examples"
NOW = datetime(2026, 11, 24, 13, 7, tzinfo=UTC)
RESERVED = (
    ".example",
    "@example.com",
    "@example.net",
    "@example.org",
    ".example.com",
    ".example.net",
    ".example.org",
)


def load(
    database: Database, settings: Services, now: datetime = NOW, folder: Path = EXAMPLES
) -> Loaded | None:
    with database.connect() as connection:
        return load_sample(connection, settings.owner, folder, now=now)


def plan(database: Database, settings: Services, now: datetime) -> Plan:
    with database.connect("pipeline") as connection:
        return make_plan(connection, settings.pipeline, now)


def test_sample_has_thousands_of_contacts_a_dozen_sequences_and_thirty_mailboxes(
    database: Database, settings: Services
) -> None:
    loaded = load(database, settings)
    assert loaded is not None
    assert (loaded.rows["contacts"], loaded.rows["sequences"], loaded.rows["mailboxes"]) == (3000, 12, 30)
    standings = {standing: count for standing, count, _ in loaded.standings}
    for standing in ("due today", "overdue", "due later", "completed", "replied", "bounced", "unsubscribed"):
        assert standings[standing] > 20
    pinned = {standing: pinned for standing, _, pinned in loaded.standings}
    assert 100 < pinned["due today"] < standings["due today"]


def test_mailboxes_differ_in_zones_windows_limits_gaps_and_states(
    database: Database, settings: Services
) -> None:
    load(database, settings)
    with database.connect() as connection:
        row = connection.execute(
            "SELECT count(DISTINCT time_zone) > 15, count(DISTINCT send_limit) > 5, "
            "count(DISTINCT min_gap_seconds) > 5, count(*) FILTER (WHERE send_start_time = send_end_time), "
            "count(*) FILTER (WHERE cardinality(send_days) < 7) > 2, count(ramp_up_start), "
            "count(*) FILTER (WHERE parked_until > %(now)s), count(*) FILTER (WHERE NOT is_active) "
            "FROM mailboxes",
            {"now": NOW},
        ).fetchone()
    assert row == (True, True, True, 10, True, 1, 1, 1)


def test_every_sequence_has_two_to_five_steps_and_a_mailbox_that_never_closes(
    database: Database, settings: Services
) -> None:
    load(database, settings)
    with database.connect() as connection:
        rows = connection.execute(
            "SELECT (SELECT count(*) FROM steps s WHERE s.sequence_id = q.id), "
            "(SELECT count(*) FROM sequences_mailboxes r JOIN mailboxes m ON m.id = r.mailbox_id "
            "WHERE r.sequence_id = q.id AND m.send_start_time = m.send_end_time) FROM sequences q"
        ).fetchall()
    assert all(2 <= steps <= 5 and always for steps, always in rows)


def test_all_addresses_lie_under_reserved_domains(database: Database, settings: Services) -> None:
    load(database, settings)
    with database.connect() as connection:
        rows = connection.execute(
            "SELECT mail_address FROM contacts UNION ALL SELECT address FROM mailboxes"
        ).fetchall()
    assert len(rows) == 3030
    assert [address for (address,) in rows if not address.endswith(RESERVED)] == []


def test_dates_count_from_the_planning_day_not_from_midnight(
    database: Database, make_settings: MakeSettings
) -> None:
    settings = make_settings(plan_at=time(4))
    load(database, settings, datetime(2026, 11, 24, 3, 50, tzinfo=UTC))
    with database.connect() as connection:
        due = connection.execute(
            "SELECT count(*) FROM sequences_contacts WHERE status = 'active' AND next_send = %s",
            (date(2026, 11, 23),),
        ).fetchone()
    assert due
    assert due[0] > 300


@pytest.mark.parametrize("hour", range(0, 24, 3))
def test_most_mailboxes_are_open_now_whatever_the_time_of_day(
    database: Database, settings: Services, hour: int
) -> None:
    now = datetime(2026, 11, 24, hour, 7, tzinfo=UTC)
    load(database, settings, now)
    made = plan(database, settings, now)
    open_intervals = made.snapshot.open_intervals
    assert (open_intervals["opens"] <= now.timestamp() + 60).sum() >= 20
    assert len(made.placed) > 200
    assert made.placed["send_at"].nsmallest(3).max() - now.timestamp() < 240


@pytest.mark.parametrize("minutes", [3, 10, 60])
def test_mails_are_planned_even_minutes_before_the_next_planning_day(
    database: Database, make_settings: MakeSettings, minutes: int
) -> None:
    settings = make_settings(plan_at=time(4))
    now = datetime(2026, 11, 24, 4, tzinfo=UTC) - timedelta(minutes=minutes)
    load(database, settings, now)
    assert len(plan(database, settings, now).placed) >= 10


def test_something_is_open_on_a_later_day_at_another_hour_also_at_a_weekend(
    database: Database, settings: Services
) -> None:
    load(database, settings)
    saturday = datetime(2026, 11, 28, 4, 1, tzinfo=UTC)
    assert len(plan(database, settings, saturday).placed) > 100


def test_every_kind_of_waiting_is_shown(database: Database, settings: Services) -> None:
    load(database, settings)
    reasons = set(plan(database, settings, NOW).waiting["reason"])
    assert {"mailbox_parked", "sequence_inactive", "one_mail_a_day", "max_new_per_day"} <= reasons


def test_second_loading_changes_nothing(database: Database, settings: Services) -> None:
    load(database, settings)
    assert load(database, settings) is None
    with database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM contacts").fetchone() == (3000,)


def test_database_with_other_sequences_is_rejected(database: Database, settings: Services) -> None:
    with database.connect() as connection:
        connection.execute("INSERT INTO sequences (sequence_name) VALUES ('Ours')")
    with pytest.raises(SampleError, match="holds 1 sequences already"):
        load(database, settings)


def test_missing_file_is_named_and_nothing_is_loaded(
    database: Database, settings: Services, tmp_path: Path
) -> None:
    shutil.copytree(EXAMPLES, tmp_path, dirs_exist_ok=True)
    (tmp_path / "steps.csv").unlink()
    with pytest.raises(SampleError, match=r"steps\.csv"):
        load(database, settings, folder=tmp_path)


@pytest.mark.parametrize(
    ("opens", "closes", "zone", "expected"),
    [
        ("11:00", "13:00", "UTC", (time(12, 0), time(14, 0))),
        ("09:00", "17:00", "America/New_York", (time(5, 0), time(13, 0))),
        ("09:00", "18:00", "Asia/Tokyo", (time(19, 0), time(4, 0))),
        ("00:00", "00:00", "Asia/Tokyo", (time(0), time(0))),
    ],
)
def test_windows_keep_their_distance_from_noon(
    opens: str, closes: str, zone: str, expected: tuple[time, time]
) -> None:
    assert Moment(NOW, NOW.date()).window(opens, closes, zone) == expected
