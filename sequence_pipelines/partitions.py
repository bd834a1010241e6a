"""The planning day as Dagster's partition."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from sequence_store.domain.planning_day import FIRST_PLANNING_DAY
from sequence_store.settings import Settings, read_settings

_settings = read_settings(Settings)

# end_offset=1: the day that has just begun is a partition too, since its plan is made on its own morning.
planning_days = dg.DailyPartitionsDefinition(
    start_date=FIRST_PLANNING_DAY.isoformat(),
    timezone=_settings.sequence_time_zone,
    hour_offset=_settings.plan_at.hour,
    minute_offset=_settings.plan_at.minute,
    end_offset=1,
)


def planned_by(grace: timedelta) -> str:
    """Return the daily cron string, in the pipeline's zone, of `grace` after a planning day begins."""
    minutes = _settings.plan_at.hour * 60 + _settings.plan_at.minute + int(grace.total_seconds()) // 60
    return f"{minutes % 60} {minutes // 60 % 24} * * *"
