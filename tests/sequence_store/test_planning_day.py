"""Tests that a planning day starts at one instant in every time zone, and which day is the first."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import dagster as dg
import pytest

from sequence_store.domain.planning_day import YEARS_CHECKED, ClockChange, PlanningCalendar
from sequence_store.errors import SettingsError
from sequence_store.settings import PartitionSettings, Settings, read_settings

SINCE = date(2026, 11, 30)


def change(zone: str, at: str) -> ClockChange | None:
    return PlanningCalendar(ZoneInfo(zone), time.fromisoformat(at)).clock_change(SINCE)


@pytest.mark.parametrize(
    ("zone", "at", "day", "repeated"),
    [
        ("Europe/Berlin", "02:30", date(2027, 3, 28), False),
        ("Europe/Berlin", "02:00", date(2027, 3, 28), False),
        ("America/New_York", "01:30", date(2027, 11, 7), True),
        ("Australia/Lord_Howe", "01:30", date(2027, 4, 4), True),
        ("Australia/Lord_Howe", "02:15", date(2027, 10, 3), False),
        ("Africa/Cairo", "00:00", date(2027, 4, 30), False),
        ("America/Santiago", "23:30", date(2027, 4, 3), True),
    ],
)
def test_a_time_that_the_clocks_skip_or_repeat_is_found(
    zone: str, at: str, day: date, repeated: bool
) -> None:
    assert change(zone, at) == ClockChange(day, repeated)


@pytest.mark.parametrize(
    ("zone", "at"),
    [
        ("UTC", "02:30"),
        ("Asia/Tokyo", "02:30"),
        ("Europe/Berlin", "01:59"),
        ("Europe/Berlin", "03:00"),
        ("America/New_York", "00:59"),
        ("Australia/Lord_Howe", "02:30"),
        ("Australia/Lord_Howe", "01:29"),
    ],
)
def test_a_time_that_exists_once_on_every_day_is_accepted(zone: str, at: str) -> None:
    assert change(zone, at) is None


def test_the_default_time_and_the_proposed_hours_are_good_in_every_zone() -> None:
    for name in sorted(available_timezones()):
        calendar = PlanningCalendar(ZoneInfo(name), time(2, 30))
        found = calendar.clock_change(SINCE)
        if found is None:
            continue
        proposed = PlanningCalendar(calendar.zone, calendar.next_stable_hour(SINCE))
        days = [found.day + timedelta(days=n) for n in range(-2, 3)]
        assert all(proposed.day_of(proposed.start_of(day)) == day for day in days), name
        lengths = {later - earlier for earlier, later in pairwise(map(proposed.start_of, days))}
        assert lengths <= {timedelta(hours=hours) for hours in (22, 23, 23.5, 24, 24.5, 25, 26)}, name


@pytest.mark.parametrize(
    ("zone", "at", "text"),
    [
        ("Europe/Berlin", "02:30", "PLAN_AT 02:30 does not exist on 20"),
        ("America/New_York", "01:30", "PLAN_AT 01:30 exists twice on 20"),
        ("Australia/Lord_Howe", "01:30", "PLAN_AT 01:30 exists twice on 20"),
    ],
)
def test_the_settings_refuse_it_with_the_day_the_zone_and_another_time(
    zone: str, at: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQUENCE_TIME_ZONE", zone)
    monkeypatch.setenv("PLAN_AT", at)
    with pytest.raises(SettingsError) as refused:
        read_settings(Settings)
    assert text in str(refused.value)
    assert f"in {zone}, because the clocks change" in str(refused.value)
    assert "such as 0" in str(refused.value)


@pytest.mark.parametrize("name", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo"])
def test_dagsters_partitions_start_when_the_planning_days_start(name: str) -> None:
    for at in (time(3), time(4), time(12)):
        calendar = PlanningCalendar(ZoneInfo(name), at)
        assert calendar.clock_change(SINCE) is None
        days = dg.DailyPartitionsDefinition(
            "2027-01-01", end_date="2028-01-01", timezone=name, hour_offset=at.hour
        )
        for key in days.get_partition_keys():
            starts = days.time_window_for_partition_key(key).start.astimezone(UTC)
            assert starts == calendar.start_of(date.fromisoformat(key)), (key, at)


def test_ten_years_are_checked() -> None:
    assert YEARS_CHECKED >= 10


def partitions(**settings: str) -> subprocess.CompletedProcess[str]:
    program = "from sequence_pipelines.partitions import planning_days as d; print(*d.get_partition_keys())"
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=False)


def test_the_first_partition_is_the_first_planning_day() -> None:
    today = PlanningCalendar(ZoneInfo("UTC"), time(4)).day_of(datetime.now(UTC))
    first = today - timedelta(days=2)
    found = partitions(FIRST_PLANNING_DAY=first.isoformat(), PLAN_AT="04:00")
    assert found.stdout.split() == [str(first + timedelta(days=n)) for n in range(3)], found.stderr


def test_a_first_planning_day_that_starts_later_today_leaves_the_current_one() -> None:
    plan_at = (datetime.now(UTC) + timedelta(hours=1)).replace(minute=0)
    found = partitions(FIRST_PLANNING_DAY=plan_at.date().isoformat(), PLAN_AT=f"{plan_at:%H:%M}")
    assert len(found.stdout.split()) == 1, found.stderr


def test_a_first_planning_day_in_the_future_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRST_PLANNING_DAY", f"{datetime.now(UTC).date() + timedelta(days=3)}")
    with pytest.raises(SettingsError, match="is in the future: the current planning day is 20"):
        read_settings(PartitionSettings)
