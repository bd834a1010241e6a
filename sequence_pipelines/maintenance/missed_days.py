"""Finds the planning days without a plan."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import psycopg

from sequence_store.domain.planning_day import PlanningCalendar
from sequence_store.postgres.queries import query

GRACE = timedelta(hours=1)  # a planning day should have its plan this long after it begins


def find_missed_days(
    connection: psycopg.Connection[Any],
    calendar: PlanningCalendar,
    days: Sequence[date],
    planned: Collection[date],
    now: datetime,
) -> list[date]:
    """Return the days without a plan, in order.

    days      the planning days from the installation on, in order
    planned   the days that Dagster's history shows as planned; if the history was lost, the ledger's sends
              show the days too
    now       an aware instant. The current day counts only GRACE after it began, and the first day only if
              it is over: its plan may have been due before the installation

    A day on which nothing was due has no sends, so a lost history may show it as missed.
    """
    expected = [day for day in days[1:] if now - calendar.start_of(day) > GRACE and day not in planned]
    if not expected:
        return []
    parameters = {
        "days": expected,
        "begins": [calendar.start_of(day) for day in expected],
        "ends": [calendar.end_of(day) for day in expected],
    }
    with_sends = {row[0] for row in connection.execute(query("health", "find_days_with_sends"), parameters)}
    return [day for day in expected if day not in with_sends]
