"""Counts the dates of a ramp-up: they raise a new mailbox's limit, and a long pause lowers it again."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from sequence_pipelines.planning.engine.capacity import is_ramping
from sequence_pipelines.planning.engine.windows import (
    DAY_SECONDS,
    Hours,
    from_epoch_day,
    hours_of,
    window,
    zone_of,
)

PAUSE_DATES = 14  # consecutive dates without a mail, each of which halves the days
LONGEST_CATCH_UP = 400  # dates; a mailbox that no plan has seen for longer is counted from there


def count_dates(
    days: int, counted: int, until: int, mails: Mapping[int, tuple[int, int]], last_mail: int
) -> int:
    """Return the days of a ramp-up after the dates (counted, until] are counted, too.

    mails       of each date that has any: what was allowed, and how many were accepted
    last_mail   the last date up to `counted` that has a mail, or the date before the ramp-up's first

    A date on which at least half of the allowed was accepted adds a day; fourteen dates in a row without a
    mail halve the days, and so does each further fourteen.
    """
    for date in range(counted + 1, until + 1):
        allowed, accepted = mails.get(date, (0, 0))
        if accepted:
            last_mail = date
            days += 2 * accepted >= allowed
        elif (date - last_mail) % PAUSE_DATES == 0:
            days //= 2
    return days


def raise_ramp_ups(mailboxes: pd.DataFrame, mail_days: pd.DataFrame, now: int) -> pd.DataFrame:
    """Return the mailboxes whose ramp-up has new dates to count: mailbox_id, ramp_up_days, ramp_up_counted.

    mail_days   mailbox_id, send_day, allowed, used (mails that went out) of dates with a mail
    now         epoch seconds: a date is counted once its window is over
    """
    rows = []
    by_mailbox = {int(str(key)): frame for key, frame in mail_days.groupby("mailbox_id")}
    ramping = mailboxes[is_ramping(mailboxes)]
    for box, hours in zip(ramping.to_dict("records"), hours_of(ramping), strict=True):
        started = int(box["ramp_up_started"])
        until = _last_over(hours, now)
        counted = started - 1 if np.isnan(box["ramp_up_counted"]) else int(box["ramp_up_counted"])
        counted = max(counted, until - LONGEST_CATCH_UP)
        if until <= counted:
            continue
        own = by_mailbox.get(int(box["mailbox_id"]), mail_days[:0])
        mails = {
            int(d): (int(a), int(u))
            for d, a, u in zip(own["send_day"], own["allowed"], own["used"], strict=True)
        }
        last = max([started - 1, *(d for d in mails if started <= d <= counted)])
        days = count_dates(int(box["ramp_up_days"]), counted, until, mails, last)
        rows.append((int(box["mailbox_id"]), days, until))
    columns = ["mailbox_id", "ramp_up_days", "ramp_up_counted"]
    return pd.DataFrame(rows, columns=columns).astype(np.int64)


def _last_over(hours: Hours, now: int) -> int:
    """Return the last date whose hours are over."""
    zone = zone_of(hours.time_zone)
    for date in range(now // DAY_SECONDS + 1, now // DAY_SECONDS - 4, -1):
        found = window(zone, from_epoch_day(date), hours.start_seconds, hours.end_seconds) if zone else None
        if found and found[1] <= now:
            return date
    return now // DAY_SECONDS - 4


def with_ramp_ups(mailboxes: pd.DataFrame, raised: pd.DataFrame) -> pd.DataFrame:
    """Return the mailboxes with the days that raise_ramp_ups counted."""
    if raised.empty:
        return mailboxes
    new = raised.set_index("mailbox_id").reindex(mailboxes["mailbox_id"])
    known = new["ramp_up_days"].notna().to_numpy()
    return mailboxes.assign(
        ramp_up_days=np.where(known, new["ramp_up_days"].fillna(0), mailboxes["ramp_up_days"]).astype(
            np.int64
        ),
        ramp_up_counted=np.where(known, new["ramp_up_counted"], mailboxes["ramp_up_counted"]),
    )
