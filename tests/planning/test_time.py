"""Tests windows, capacity and slots on random instances and on days with clock changes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import available_timezones

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sequence_pipelines.planning.engine.capacity import (
    count_capacity,
    daily_limits,
    find_open_intervals,
    free_cells,
    grid_anchors,
    last_cells,
)
from sequence_pipelines.planning.engine.pacing import pace
from sequence_pipelines.planning.engine.ramp_up import count_dates
from sequence_pipelines.planning.engine.windows import epoch_day, send_windows

ZONES = sorted(available_timezones())
AWKWARD = (
    *("Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Cairo", "America/Santiago"),
    *("Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Kathmandu", "Africa/Casablanca"),
)
NO_SLOTS = pd.DataFrame({"mailbox_id": [], "send_day": [], "send_at": []}, dtype=np.int64)


def mailbox(**values: Any) -> pd.DataFrame:
    defaults = {
        "mailbox_id": 1,
        "send_limit": 50,
        "start_seconds": 9 * 3600,
        "end_seconds": 17 * 3600,
        "time_zone": "UTC",
        "send_days": [1, 2, 3, 4, 5, 6, 7],
        "holiday_calendar": None,
        "min_gap_seconds": 0,
        "ramp_up_start": np.nan,
        "ramp_up_daily_increment": np.nan,
        "ramp_up_started": np.nan,
        "ramp_up_days": 0,
        "ramp_up_counted": np.nan,
        "max_first_mails": np.nan,
        "parked_until": 0,
        "is_active": True,
    }
    return pd.DataFrame([defaults | values])


def windows_on(day: date, **values: Any) -> list[tuple[datetime, datetime]]:
    """Return the mailbox's window that starts on `day`, as UTC instants."""
    middle = datetime(day.year, day.month, day.day, tzinfo=UTC)
    begins, ends = ((middle + timedelta(days=d)).timestamp() for d in (-2, 3))
    found = send_windows(mailbox(**values), int(begins), int(ends))
    found = found[found["send_day"] == epoch_day(day)]
    return [
        (datetime.fromtimestamp(a, UTC), datetime.fromtimestamp(b, UTC))
        for a, b in zip(found["starts"], found["ends"], strict=True)
    ]


def hours(window: tuple[datetime, datetime]) -> float:
    return (window[1] - window[0]).total_seconds() / 3600


def test_windows_follow_daylight_saving_in_both_directions() -> None:
    (spring,) = windows_on(
        date(2026, 3, 29), time_zone="Europe/Paris", start_seconds=5400, end_seconds=4 * 3600
    )
    (autumn,) = windows_on(
        date(2026, 10, 25), time_zone="Europe/Paris", start_seconds=5400, end_seconds=4 * 3600
    )
    assert (hours(spring), hours(autumn)) == (1.5, 3.5)


def test_a_midnight_that_does_not_exist_is_read_with_the_offset_before_it() -> None:
    (window,) = windows_on(date(2026, 4, 24), time_zone="Africa/Cairo", start_seconds=0, end_seconds=3600 * 8)
    assert hours(window) == 7


def test_a_window_after_a_midnight_over_which_the_clock_goes_back_is_found() -> None:
    """In St John's the clock went from 00:01 back to 23:01 of the day before."""
    box = mailbox(time_zone="America/St_Johns", start_seconds=0, end_seconds=3600)
    midnight = int(datetime(2006, 10, 29, 2, 30, tzinfo=UTC).timestamp())
    windows = send_windows(box, midnight - 3600, midnight + 1800)
    assert windows["send_day"].tolist() == [epoch_day(date(2006, 10, 29))]


def test_an_end_at_or_before_the_start_means_the_next_day() -> None:
    (night,) = windows_on(date(2026, 6, 15), start_seconds=22 * 3600, end_seconds=6 * 3600)
    (whole,) = windows_on(date(2026, 6, 15), start_seconds=0, end_seconds=0)
    assert (hours(night), hours(whole)) == (8, 24)


def test_days_off_and_holidays_have_no_window() -> None:
    assert windows_on(date(2026, 6, 14), send_days=[1, 2, 3, 4, 5]) == []
    assert windows_on(date(2026, 12, 25), holiday_calendar="DE") == []
    assert windows_on(date(2026, 6, 15), holiday_calendar="DE") != []


def test_window_that_is_over_or_empty_has_no_slot() -> None:
    """A window from 02:00 to 03:00 is empty if the clock skips that hour; any window is over at its end."""
    nothing = {"time_zone": "Europe/Paris", "start_seconds": 7200, "end_seconds": 10_800}
    assert windows_on(date(2026, 3, 29), **nothing) == []
    box = mailbox()
    closes = int(datetime(2026, 6, 15, 17, tzinfo=UTC).timestamp())
    windows = send_windows(box, closes - 60, closes + 6 * 3600)
    assert find_open_intervals(box, windows, closes, closes + 6 * 3600).empty
    assert not find_open_intervals(box, windows, closes - 1, closes + 6 * 3600).empty


@pytest.mark.parametrize(("day", "days", "limit"), [(9, 0, 0), (10, 0, 5), (12, 2, 9), (40, 30, 50)])
def test_ramp_up_raises_the_limit_with_its_days(day: int, days: int, limit: int) -> None:
    box = mailbox(ramp_up_start=5.0, ramp_up_daily_increment=2.0, ramp_up_started=10.0, ramp_up_days=days)
    assert daily_limits(box, np.array([1]), np.array([day])).tolist() == [limit]


@pytest.mark.parametrize(
    ("until", "mails", "days"),
    [
        (12, {11: (10, 5), 12: (10, 10)}, 6),  # at least half of the allowed
        (12, {11: (10, 4), 12: (10, 5)}, 5),
        (24, {}, 2),  # fourteen dates without a mail: halved once
        (37, {}, 2),
        (38, {}, 1),
        (38, {20: (10, 10)}, 2),  # a mail in between: 20 + 14 dates
    ],
)
def test_ramp_up_counts_dates_with_mails_and_is_halved_by_a_pause(
    until: int, mails: dict[int, tuple[int, int]], days: int
) -> None:
    assert count_dates(4, 10, until, mails, last_mail=10) == days


def every_slot(open_intervals: pd.DataFrame) -> np.ndarray:
    """Return the position of an interval for each mail that still fits."""
    return np.repeat(np.arange(len(open_intervals)), open_intervals["capacity"])


def with_grid(box: pd.DataFrame, windows: pd.DataFrame) -> pd.DataFrame:
    """Return the windows with the grid of their mailbox's gap, and its limit."""
    gaps = np.full(len(windows), int(box["min_gap_seconds"].iloc[0]))
    windows = windows.assign(grid_from=grid_anchors(windows, gaps), allowed=int(box["send_limit"].iloc[0]))
    return windows.assign(last_cell=last_cells(box, windows, gaps))


def test_gap_wider_than_the_window_lets_every_mailbox_mail() -> None:
    """A day between two mails and a window of eight hours: one mail on most dates, for every mailbox."""
    for number in range(1, 25):
        box = mailbox(mailbox_id=number, min_gap_seconds=86_400, send_limit=5)
        sent: list[int] = []
        for day in range(10):
            opens, closes = day * 86_400, (day + 1) * 86_400
            windows = with_grid(box, send_windows(box, opens, closes))
            slots = pd.DataFrame({"mailbox_id": number, "send_day": -1, "send_at": sent}, dtype=np.int64)
            intervals = count_capacity(box, find_open_intervals(box, windows, opens, closes), slots)
            chosen = np.repeat(np.arange(len(intervals)), intervals["capacity"])
            sent += pace(chosen, box, intervals, slots)["send_at"].tolist()
        assert len(sent) >= 9
        assert all(b - a >= 86_400 for a, b in pairwise(sorted(sent)))


@settings(max_examples=200, deadline=None)
@given(
    gap=st.integers(1, 50),
    grid=st.integers(-100, 100),
    earliest=st.integers(0, 50),
    length=st.integers(0, 150),
    held=st.lists(st.integers(-60, 260), max_size=6),
)
def test_free_cells_are_apart_and_the_most_that_fit_beside_held_places(
    gap: int, grid: int, earliest: int, length: int, held: list[int]
) -> None:
    latest, occupied = earliest + length, np.array(sorted(held), dtype=np.int64)
    cells = free_cells(gap, grid, earliest, latest, occupied).tolist()
    assert all(earliest <= cell <= latest for cell in cells)
    assert all(b - a >= gap for a, b in pairwise(cells))
    assert all(abs(cell - other) >= gap for cell in cells for other in held)
    near = [other for other in held if earliest - gap < other < latest + gap]
    if not near:
        assert cells == [second for second in range(earliest, latest + 1) if (second - grid) % gap == 0]
        return
    most, last = 0, -(10**9)
    for second in range(earliest, latest + 1):
        if second - last >= gap and all(abs(second - other) >= gap for other in held):
            most, last = most + 1, second
    assert len(cells) == most


@settings(max_examples=200, deadline=None)
@given(
    zone=st.sampled_from(ZONES) | st.sampled_from(AWKWARD),
    now=st.datetimes(datetime(1970, 1, 3), datetime(2037, 12, 28)),  # noqa: DTZ001
    start=st.integers(0, 1439),
    end=st.integers(0, 1440),
    limit=st.integers(0, 60),
    gap=st.sampled_from([0, 1, 60, 700, 3600]),
    held=st.integers(0, 20),
)
@example("Europe/Paris", datetime(2026, 3, 28, 23), 90, 240, 60, 60, 9)  # noqa: DTZ001  # a day of 23 h
@example("Europe/Paris", datetime(2026, 10, 24, 22), 90, 240, 60, 60, 9)  # noqa: DTZ001  # a day of 25 h
@example("Pacific/Apia", datetime(2011, 12, 29, 22), 0, 0, 60, 0, 9)  # noqa: DTZ001  # a date is skipped
def test_slots_are_inside_the_window_apart_and_within_the_limit(
    zone: str, now: datetime, start: int, end: int, limit: int, gap: int, held: int
) -> None:
    opens = int(now.replace(tzinfo=UTC).timestamp())
    closes = opens + 86_400
    box = mailbox(
        time_zone=zone, send_limit=limit, start_seconds=start * 60, end_seconds=end * 60, min_gap_seconds=gap
    )
    windows = with_grid(box, send_windows(box, opens, closes))
    open_intervals = count_capacity(box, find_open_intervals(box, windows, opens, closes), NO_SLOTS)
    first = pace(every_slot(open_intervals)[:held], box, open_intervals, NO_SLOTS)
    slots = first.assign(mailbox_id=1)[["mailbox_id", "send_day", "send_at"]]
    again = count_capacity(box, find_open_intervals(box, windows, opens, closes), slots)
    second = pace(every_slot(again), box, again, slots)
    everything = pd.concat([first, second])
    joined = everything.merge(windows, on="send_day")
    assert ((joined["send_at"] >= joined["starts"]) & (joined["send_at"] < joined["ends"])).all()
    assert everything["send_at"].between(opens, closes - 1).all()
    assert (everything["send_day"].value_counts() <= limit).all()
    times = sorted(everything["send_at"].tolist())
    assert all(b - a >= gap for a, b in pairwise(times))
    share = -(
        -limit
        * (open_intervals["closes"] - open_intervals["opens"])
        // (open_intervals["ends"] - open_intervals["starts"])
    )
    assert len(everything) <= share.sum()


def test_the_same_input_gives_the_same_seconds_and_an_even_spread() -> None:
    box = mailbox(send_limit=100)
    windows = with_grid(box, send_windows(box, 0, 86_400))
    open_intervals = count_capacity(box, find_open_intervals(box, windows, 0, 86_400), NO_SLOTS)
    one, two = (pace(every_slot(open_intervals), box, open_intervals, NO_SLOTS) for _ in range(2))
    pd.testing.assert_frame_equal(one, two)
    gaps = np.diff(np.sort(one["send_at"]))
    assert gaps.max() < 2 * 8 * 3600 / 100
    assert len(set(gaps.tolist())) > 20  # jitter


@pytest.mark.parametrize(("minutes", "tail"), [(480, 60), (10, 30), (1, 3)])
@pytest.mark.parametrize("held", [0, 40])
def test_the_last_mail_of_a_window_may_be_seconds_late(minutes: int, tail: int, held: int) -> None:
    box = mailbox(send_limit=5000, end_seconds=9 * 3600 + minutes * 60)
    windows = with_grid(box, send_windows(box, 0, 86_400))
    open_intervals = count_capacity(box, find_open_intervals(box, windows, 0, 86_400), NO_SLOTS)
    before = pace(every_slot(open_intervals)[:held], box, open_intervals, NO_SLOTS)
    slots = before.assign(mailbox_id=1)[["mailbox_id", "send_day", "send_at"]]
    again = count_capacity(box, find_open_intervals(box, windows, 0, 86_400), slots)
    found = pace(every_slot(again), box, again, slots)
    assert len(found) == 5000 - held
    assert (found["send_at"] < found["window_ends"] - tail).all()
