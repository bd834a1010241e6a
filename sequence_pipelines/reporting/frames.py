"""Builds the frames that the assets store: timestamps and dates, for people and other tools."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa

from sequence_pipelines.planning.planner import Plan
from sequence_pipelines.planning.repository import KEY, SEND_COLUMNS, PlanRepository
from sequence_store.domain.planning_day import PlanningCalendar
from sequence_store.domain.states import SendStatus

INSTANTS = (  # epoch seconds
    "starts",
    "ends",
    "grid_from",
    "last_cell",
    "opens",
    "closes",
    "send_at",
    "window_ends",
    "not_after",
)
DAYS = ("due_day", "waits_since", "last_send", "send_day", "plan_day")  # epoch days; 0: none


def with_timestamps(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a planning frame with its epoch seconds as UTC timestamps and its epoch days as dates."""
    instants = {
        name: pd.Series(
            frame[name].to_numpy(np.int64).view("datetime64[s]"), index=frame.index
        ).dt.tz_localize("UTC")
        for name in INSTANTS
        if name in frame
    }
    days = {
        name: pd.Series(pd.array(_dates(frame[name]), dtype=pd.ArrowDtype(pa.date32())), index=frame.index)
        for name in DAYS
        if name in frame
    }
    return frame.assign(**instants, **days)


def _dates(days: pd.Series) -> pa.Array:
    numbers = days.to_numpy(np.int32)
    return pa.array(numbers, mask=numbers == 0).view(pa.date32())


def day_frame(repository: PlanRepository, plan: Plan, day: date, calendar: PlanningCalendar) -> pd.DataFrame:
    """Return the sends planned on planning day `day`, as the ledger has them once the plan is written.

    A repeated run returns the earlier sends too, so the frame does not shrink. Columns: DAY_COLUMNS.
    """
    if day == plan.day.day and not plan.adds_to_day:
        placed = plan.placed[list(SEND_COLUMNS)]
        planned = pd.Categorical([SendStatus.PLANNED] * len(placed), categories=[*SendStatus])
        return with_timestamps(placed.assign(status=planned))
    rows = repository.sends_of_day(day, calendar.start_of(day), calendar.end_of(day))
    return with_timestamps(rows.sort_values(KEY, ignore_index=True))
