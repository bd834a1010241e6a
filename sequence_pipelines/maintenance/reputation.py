"""Judges the bounce rate and the complaint rate of the last week."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg

from sequence_store.postgres.queries import query

BOUNCES_WARN, BOUNCES_ALARM = 0.02, 0.05  # at 5 % the reputation rules park a mailbox
FEWEST_BOUNCES = 5  # with fewer bounces, a rate says little
COMPLAINTS_WARN, COMPLAINTS_ALARM = 0.001, 0.003  # Gmail: stay below 0.10 %, never reach 0.30 %


@dataclass(frozen=True)
class ReputationCounts:
    """Mails and reputation events of the last 7 days, and of the 3 weeks before (`_before`)."""

    mails: int
    mails_before: int
    bounces: int
    bounces_before: int
    complaints: int


@dataclass(frozen=True)
class RateVerdict:
    """The judgement of a rate: `rate` and `usual` are shares from 0 to 1; `alarm` needs action at once."""

    passed: bool
    alarm: bool
    rate: float
    usual: float = 0.0


def count_reputation_events(connection: psycopg.Connection[Any], now: datetime) -> ReputationCounts:
    """Count the mails, bounces and complaints of the four weeks before the aware `now`."""
    # A mailbox's local day can be one day ahead of UTC.
    parameters = {"day": (now + timedelta(days=1)).date(), "now": now}
    row = connection.execute(query("health", "count_reputation_events"), parameters).fetchone()
    return ReputationCounts(*(row or (0, 0, 0, 0, 0)))


def judge_bounces(counts: ReputationCounts) -> RateVerdict:
    """Judge the bounce rate: below 2 %, and at most twice the rate of the weeks before."""
    rate = _share(counts.bounces, counts.mails)
    usual = _share(counts.bounces_before, counts.mails_before)
    rose = counts.mails_before > 0 and rate > 2 * max(usual, BOUNCES_WARN / 4)
    passed = counts.bounces < FEWEST_BOUNCES or not (rate >= BOUNCES_WARN or rose)
    return RateVerdict(passed, rate >= BOUNCES_ALARM, rate, usual)


def judge_complaints(counts: ReputationCounts) -> RateVerdict:
    """Judge the complaint rate by Gmail's bounds; a single complaint raises no alarm."""
    rate = _share(counts.complaints, counts.mails)
    alarm = rate >= COMPLAINTS_ALARM and counts.complaints > 1
    return RateVerdict(rate < COMPLAINTS_WARN, alarm, rate)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float(part > 0)
