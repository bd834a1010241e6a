"""Compares the number of due contacts with the usual number."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

DAYS_COMPARED = 28
SMALLEST_DIFFERENCE = 50  # contacts; a smaller change is normal for a small team


@dataclass(frozen=True)
class VolumeVerdict:
    """The latest day's due contacts, and the median of `days_compared` days before it."""

    passed: bool
    due: int
    usual: float
    days_compared: int


def judge_due_volume(due_by_day: Mapping[str, float]) -> VolumeVerdict:
    """Judge the latest of the days (ISO dates): between half and twice the median of the 28 days before."""
    latest, *before = [due_by_day[day] for day in sorted(due_by_day, reverse=True)[: DAYS_COMPARED + 1]] or [
        0.0
    ]
    usual = statistics.median(before) if before else latest
    passed = abs(latest - usual) < SMALLEST_DIFFERENCE or usual / 2 <= latest <= usual * 2
    return VolumeVerdict(passed, int(latest), usual, len(before))
