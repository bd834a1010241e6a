"""Planning days: day D starts at PLAN_AT on date D in the pipeline's time zone and ends when D + 1 starts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

YEARS_CHECKED = 10  # in which each planning day must start at one instant; a zone repeats its rules


@dataclass(frozen=True)
class PlanningCalendar:
    """Converts instants to planning days and back; `plan_at` is a wall-clock time in `zone`."""

    zone: ZoneInfo
    plan_at: time

    def start_of(self, day: date) -> datetime:
        """Return the instant (UTC) at which the planning day starts."""
        return datetime.combine(day, self.plan_at, self.zone).astimezone(UTC)

    def end_of(self, day: date) -> datetime:
        return self.start_of(day + timedelta(days=1))

    def day_of(self, instant: datetime) -> date:
        """Return the planning day that contains the aware `instant`."""
        local_date = instant.astimezone(self.zone).date()
        return local_date if instant >= self.start_of(local_date) else local_date - timedelta(days=1)

    def clock_change(self, since: date) -> ClockChange | None:
        """Return the first date from `since` on which the clocks skip or repeat `plan_at`, or None."""
        return _find_clock_change(self.zone, self.plan_at, since)

    def next_stable_hour(self, since: date) -> time:
        """Return the next whole hour after `plan_at` that exists once on every day; 12:00 if none does."""
        for hours in range(1, 24):
            at = time((self.plan_at.hour + hours) % 24)
            if _find_clock_change(self.zone, at, since) is None:
                return at
        return time(12)


@dataclass(frozen=True)
class ClockChange:
    """A date on which a wall-clock time does not exist, or exists twice."""

    day: date
    repeated: bool


@lru_cache(maxsize=64)
def _find_clock_change(zone: ZoneInfo, at: time, since: date) -> ClockChange | None:
    days = [since + timedelta(days=n) for n in range(YEARS_CHECKED * 366)]
    noons = [datetime.combine(day, time(12), zone).utcoffset() for day in days]
    for n in range(1, len(days)):
        if noons[n - 1] != noons[n]:
            for day in (days[n - 1], days[n]):
                if change := _clock_change_on(datetime.combine(day, at, zone)):
                    return change
    return None


def _clock_change_on(at: datetime) -> ClockChange | None:
    """Compare the offsets that `fold` selects: they differ if the clocks skip or repeat the time."""
    first, second = at.replace(fold=0).utcoffset(), at.replace(fold=1).utcoffset()
    if first is None or second is None or first == second:
        return None
    return ClockChange(at.date(), repeated=first > second)
