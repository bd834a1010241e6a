"""Defines the planning day as a Dagster partition."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from sequence_store.settings import PartitionSettings, read_settings

_settings = read_settings(PartitionSettings)

# end_offset=1: the current day is a partition too, because its plan is made when the day begins.
planning_days = dg.DailyPartitionsDefinition(
    start_date=_settings.first_partition.isoformat(),
    timezone=_settings.sequence_time_zone,
    hour_offset=_settings.plan_at.hour,
    minute_offset=_settings.plan_at.minute,
    end_offset=1,
)


def planned_by(grace: timedelta) -> str:
    """Return a daily cron string, in the pipeline's time zone, for `grace` after a planning day begins."""
    minutes = _settings.plan_at.hour * 60 + _settings.plan_at.minute + int(grace.total_seconds()) // 60
    return f"{minutes % 60} {minutes // 60 % 24} * * *"
