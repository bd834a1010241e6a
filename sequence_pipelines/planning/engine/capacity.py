"""Computes how many mails still fit within each day's limit, its open time, and the gap's grid."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sequence_pipelines.planning.engine.array_ops import sum_by
from sequence_pipelines.planning.engine.windows import (
    DAY_SECONDS,
    Hours,
    hours_of,
    misconfigured,
    window_of,
)
from sequence_store.domain.states import Deferral

GRID_PRIME = 7919  # gives each mailbox its own place for the first cell of its grid
UNBOUNDED = 2**30  # more mails than any day has
FAR = 2**40  # a second after all others
NO_TIMES = np.empty(0, dtype=np.int64)


def daily_limits(mailboxes: pd.DataFrame, mailbox_ids: np.ndarray, send_days: np.ndarray) -> np.ndarray:
    """Return the limit of each (mailbox, send_day): send_limit, or less while the mailbox ramps up.

    The ramp-up begins with ramp_up_start and rises with each of ramp_up_days; before its first day nothing is
    allowed.
    """
    m = mailboxes.set_index("mailbox_id").loc[mailbox_ids]
    limit = m["send_limit"].to_numpy(np.int64)
    ramp = ramp_up_limit(m)
    early = send_days < m["ramp_up_started"].fillna(0).to_numpy()
    return np.where(is_ramping(m), np.minimum(limit, np.where(early, 0, ramp)), limit).astype(np.int64)


def is_ramping(mailboxes: pd.DataFrame) -> np.ndarray:
    """Return which mailboxes have a ramp-up."""
    return (mailboxes["ramp_up_start"].notna() & mailboxes["ramp_up_started"].notna()).to_numpy()


def ramp_up_limit(mailboxes: pd.DataFrame) -> np.ndarray:
    """Return what the ramp-up allows after its days so far."""
    start = mailboxes["ramp_up_start"].fillna(0).to_numpy(np.float64)
    increment = mailboxes["ramp_up_daily_increment"].fillna(0).to_numpy(np.float64)
    return start + increment * mailboxes["ramp_up_days"].to_numpy(np.float64)


def find_open_intervals(
    mailboxes: pd.DataFrame, windows: pd.DataFrame, opens: int, closes: int
) -> pd.DataFrame:
    """Return the active mailboxes' windows, cut to [opens, closes) and to the time after a parking.

    Adds `opens` and `closes` (epoch seconds) to the columns of `windows`, which are sorted by mailbox and
    send_day; empty intervals are dropped. If a clock change makes a window begin before the previous one
    ends, the shared time belongs to the earlier window.
    """
    parked = mailboxes.set_index("mailbox_id")["parked_until"].reindex(windows["mailbox_id"]).to_numpy()
    owner, ends = windows["mailbox_id"].to_numpy(), windows["ends"].to_numpy()
    before = np.where(np.r_[-1, owner][:-1] == owner, np.r_[0, ends][:-1], 0)
    intervals = windows.assign(
        opens=np.maximum(np.maximum(np.maximum(windows["starts"], before), opens), parked),
        closes=np.minimum(windows["ends"], closes),
    )
    active = mailboxes["mailbox_id"][mailboxes["is_active"].astype(bool)]
    is_open = (intervals["opens"] < intervals["closes"]) & intervals["mailbox_id"].isin(active)
    return intervals[is_open].reset_index(drop=True)


def count_capacity(mailboxes: pd.DataFrame, intervals: pd.DataFrame, slots: pd.DataFrame) -> pd.DataFrame:
    """Return the open intervals with used, placed and capacity, each in mails; `allowed` is their date's.

    `slots` are all rows that count (planned, in flight, sent, hard_failed, unknown): mailbox_id, send_day,
    send_at. capacity = min(allowed less used on the send_day, free cells of the gap's grid, ⌈allowed ×
    interval ÷ window⌉ less the slots inside the interval), at least 0. So the rest of a window gets only its
    share of the day's limit.
    """
    mailbox_ids, allowed = intervals["mailbox_id"].to_numpy(), intervals["allowed"].to_numpy(np.int64)
    used, placed = _counts(intervals, slots)
    length = (intervals["closes"] - intervals["opens"]).to_numpy(np.int64)
    window = (intervals["ends"] - intervals["starts"]).to_numpy(np.int64)
    share = -(-allowed * length // window) - placed
    capacity = np.minimum(allowed - used, share)
    gaps = mailboxes.set_index("mailbox_id")["min_gap_seconds"].reindex(mailbox_ids).to_numpy(np.int64)
    for i, cells in find_cells(intervals, gaps, slots).items():
        capacity[i] = min(capacity[i], len(cells))
    return intervals.assign(used=used, placed=placed, capacity=np.maximum(capacity, 0))


def find_mailbox_capacity(
    mailboxes: pd.DataFrame, intervals: pd.DataFrame, first_mails: pd.DataFrame, opens: int
) -> pd.DataFrame:
    """Return what each mailbox can take: mailbox_id, load, capacity, first_mails (mails), parked, and state.

    intervals     as count_capacity returns them
    first_mails   mailbox_id, first_mails: those that this planning day has already
    opens         epoch seconds from which on the plan may use the day

    `state` is empty if the mailbox is open today, else the reason why it is not.
    """
    ids = mailboxes["mailbox_id"]
    begun = sum_by(ids, first_mails["mailbox_id"], first_mails["first_mails"])
    bound = mailboxes["max_first_mails"].fillna(UNBOUNDED).to_numpy() - begun
    state = np.select(
        [
            ~mailboxes["is_active"].to_numpy(bool),
            misconfigured(mailboxes),
            ids.isin(intervals["mailbox_id"]),
            mailboxes["parked_until"] > opens,
        ],
        [
            Deferral.MAILBOX_INACTIVE.value,
            Deferral.MAILBOX_MISCONFIGURED.value,
            "",
            Deferral.MAILBOX_PARKED.value,
        ],
        default=Deferral.WINDOW_CLOSED.value,
    )
    return pd.DataFrame(
        {
            "mailbox_id": ids.to_numpy(np.int64),
            "load": sum_by(ids, intervals["mailbox_id"], intervals["used"]),
            "capacity": sum_by(ids, intervals["mailbox_id"], intervals["capacity"]),
            "first_mails": np.maximum(bound, 0).astype(np.int64),
            "parked": (mailboxes["parked_until"] > opens).to_numpy(),
            "state": state.astype(object),
        }
    )


def first_mails_left(sequences: pd.DataFrame, first_mails: pd.DataFrame) -> pd.DataFrame:
    """Return the first mails that each sequence may still begin today, and has begun."""
    begun = sum_by(sequences["sequence_id"], first_mails["sequence_id"], first_mails["first_mails"])
    left = sequences["max_new_per_day"].fillna(UNBOUNDED).to_numpy() - begun
    return pd.DataFrame(
        {
            "sequence_id": sequences["sequence_id"].to_numpy(),
            "new_left": np.clip(left, 0, UNBOUNDED).astype(np.int64),
            "begun": begun,
        }
    )


def occupied_times(slots: pd.DataFrame, mailbox_ids: np.ndarray) -> dict[int, np.ndarray]:
    """Return the sorted send_at seconds of the slots by mailbox, for `mailbox_ids` only."""
    wanted = slots[slots["mailbox_id"].isin(np.unique(mailbox_ids))]
    ordered = wanted.sort_values(["mailbox_id", "send_at"])
    ids, starts = np.unique(ordered["mailbox_id"].to_numpy(), return_index=True)
    return dict(zip(ids.tolist(), np.split(ordered["send_at"].to_numpy(), starts[1:]), strict=bool(len(ids))))


def grid_anchors(windows: pd.DataFrame, gaps: np.ndarray) -> np.ndarray:
    """Return the first cell of each uncut window's grid, in epoch seconds; without a gap its start.

    Each mailbox has its own, within what the window's last cell leaves, so that the grid has as many cells as
    fit.
    """
    starts = windows["starts"].to_numpy(np.int64)
    wide = np.maximum(gaps, 1)
    slack = (windows["ends"].to_numpy(np.int64) - starts - 1) % wide
    offset = windows["mailbox_id"].to_numpy(np.int64) * GRID_PRIME % (1 + np.minimum(wide - 1, slack))
    return starts + np.where(gaps > 0, offset, 0)


def last_cells(mailboxes: pd.DataFrame, windows: pd.DataFrame, gaps: np.ndarray) -> np.ndarray:
    """Return the latest second of each window at which a cell may lie.

    That is its last second or, if earlier, one gap before the next window's first cell. If the gap is wider
    than the time between the first cells of both windows, the next window's cells come after this one's
    instead.
    """
    last = windows["ends"].to_numpy(np.int64) - 1
    gapped = np.flatnonzero(gaps > 0)
    if not len(gapped):
        return last
    owner = windows["mailbox_id"].to_numpy()
    first = first_cells(windows, gaps)
    hours = dict(zip(mailboxes["mailbox_id"].tolist(), hours_of(mailboxes), strict=True))
    for i in gapped.tolist():
        if i + 1 < len(owner) and owner[i + 1] == owner[i]:
            following = int(first[i + 1])
        else:
            following = _first_cell_after(
                hours[int(owner[i])], int(owner[i]), int(windows["send_day"].iloc[i]), int(gaps[i])
            )
        if following - first[i] >= gaps[i]:
            last[i] = min(last[i], following - gaps[i])
    return last


def first_cells(windows: pd.DataFrame, gaps: np.ndarray) -> np.ndarray:
    """Return the first second of each window that is on its grid."""
    starts = windows["starts"].to_numpy(np.int64)
    return starts + (windows["grid_from"].to_numpy(np.int64) - starts) % np.maximum(gaps, 1)


def _first_cell_after(hours: Hours, mailbox_id: int, day: int, gap: int) -> int:
    """Return the first cell of the mailbox's next window, or FAR if none starts within the gap."""
    for after in range(1, 2 + gap // DAY_SECONDS + 1):
        found = window_of(hours, day + after)
        if found:
            frame = pd.DataFrame({"mailbox_id": [mailbox_id], "starts": [found[0]], "ends": [found[1]]})
            return int(grid_anchors(frame, np.array([gap]))[0])
    return FAR


def find_cells(intervals: pd.DataFrame, gaps: np.ndarray, slots: pd.DataFrame) -> dict[int, np.ndarray]:
    """Return the free cells (first seconds) of each interval whose mailbox has a gap, by position.

    The cells of an interval begin at least one gap after those of the mailbox's interval before it, and end
    at `last_cell`, one gap before the next window's first cell. `gaps` in seconds, one an interval.
    """
    gapped = np.flatnonzero(gaps > 0)
    if not len(gapped):
        return {}
    mailbox_ids = intervals["mailbox_id"].to_numpy(np.int64)
    held = occupied_times(slots, mailbox_ids[gapped])
    bounds = intervals[["grid_from", "opens", "closes", "last_cell"]].to_numpy(np.int64)
    found: dict[int, np.ndarray] = {}
    for i in gapped.tolist():
        gap, (grid_from, opens, closes, last) = int(gaps[i]), bounds[i].tolist()
        before = found.get(i - 1, NO_TIMES) if i and mailbox_ids[i - 1] == mailbox_ids[i] else NO_TIMES
        earliest = max(opens, int(before[-1]) + gap) if len(before) else opens
        occupied = held.get(int(mailbox_ids[i]), NO_TIMES)
        found[i] = free_cells(gap, grid_from, earliest, min(closes - 1, last), occupied)
    return found


def free_cells(gap: int, grid_from: int, earliest: int, latest: int, occupied: np.ndarray) -> np.ndarray:
    """Return the first seconds of the free cells in [earliest, latest], ascending: all at least `gap` apart.

    The grid has a cell at `grid_from` and every `gap` seconds before and after it. Between two occupied times
    (sorted) the grid's cells are taken if they are as many as fit; beside a time off the grid the first cell
    moves forward to one gap after it. The SQL function next_free_place returns the first of these; a property
    test holds both together.
    """
    near = occupied[(occupied > earliest - gap) & (occupied < latest + gap)]
    low = np.maximum(np.r_[earliest, near + gap], earliest)
    high = np.minimum(np.r_[near - gap, latest], latest)
    on_grid = low + (grid_from - low) % gap
    beside = (low > earliest) | (high < latest)
    first = np.where(beside & (on_grid - low > (high - low) % gap), low, on_grid)
    count = np.maximum((high - first) // gap + 1, 0)
    position = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return np.repeat(first, count) + gap * position


def row_of_day(rows: pd.DataFrame, days: pd.DataFrame) -> np.ndarray:
    """Return the position in `days` of each row's mailbox_id and send_day; -1 if it is not there."""
    boxes = pd.Index(days["mailbox_id"].unique())
    first, span = days["send_day"].min(), days["send_day"].max() - days["send_day"].min() + 1
    if not len(boxes) or not len(rows):
        return np.full(len(rows), -1, dtype=np.int64)
    table = np.full((len(boxes), span), -1, dtype=np.int64)
    table[boxes.get_indexer(pd.Index(days["mailbox_id"])), days["send_day"].to_numpy() - first] = np.arange(
        len(days)
    )
    box, day = boxes.get_indexer(pd.Index(rows["mailbox_id"])), rows["send_day"].to_numpy() - first
    known = (box >= 0) & (day >= 0) & (day < span)
    return np.where(known, table[box, np.clip(day, 0, span - 1)], -1)


def _counts(intervals: pd.DataFrame, slots: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return for each interval the number of slots on its send_day, and of those inside the interval."""
    row = row_of_day(slots, intervals)
    ours = row >= 0
    row, at = row[ours], slots["send_at"].to_numpy()[ours]
    inside = (at >= intervals["opens"].to_numpy()[row]) & (at < intervals["closes"].to_numpy()[row])
    return np.bincount(row, minlength=len(intervals)), np.bincount(row[inside], minlength=len(intervals))
