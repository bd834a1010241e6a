"""Planning days: day D starts at PLAN_AT on date D in the pipeline's time zone and ends when D + 1 starts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

FIRST_PLANNING_DAY = date(2026, 1, 1)


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
