"""How many mails still fit: what is left of each day's limit, of the open time, and of the gap's grid."""

from __future__ import annotations

import numpy as np
import pandas as pd

GRID_PRIME = 7919  # spreads the mailboxes' grids; the SQL function next_free_place knows the same number

INTERVAL_COLUMNS = (
    "mailbox_id",
    "send_day",
    "starts",
    "ends",
    "opens",
    "closes",
    "allowed",
    "used",
    "placed",
    "capacity",
)


def daily_limits(mailboxes: pd.DataFrame, mailbox_ids: np.ndarray, send_days: np.ndarray) -> np.ndarray:
    """Return the limit of each (mailbox, send_day): send_limit, or less while the mailbox ramps up."""
    m = mailboxes.set_index("mailbox_id").loc[mailbox_ids]
    limit = m["send_limit"].to_numpy(np.int64)
    start = m["ramp_up_start"].to_numpy(np.float64)
    started = m["ramp_up_started"].to_numpy(np.float64)
    increment = m["ramp_up_daily_increment"].fillna(0).to_numpy(np.float64)
    ramps = ~(np.isnan(start) | np.isnan(started))
    since = send_days - np.where(ramps, started, 0)
    ramp = np.where(since < 0, 0, np.where(ramps, start, 0) + increment * since)
    return np.where(ramps, np.minimum(limit, ramp), limit).astype(np.int64)


def find_open_intervals(
    mailboxes: pd.DataFrame, windows: pd.DataFrame, opens: int, closes: int
) -> pd.DataFrame:
    """Cut active mailboxes' windows to [opens, closes), a parked one's to after its parking; empty pieces are dropped.

    `windows` are sorted by mailbox and send_day. Where the clock goes back, or a day is missing, a day's window may begin before
    the last one's end: that time is the earlier one's alone.
    """
    parked = mailboxes.set_index("mailbox_id")["parked_until"].reindex(windows["mailbox_id"]).to_numpy()
    owner, ends = windows["mailbox_id"].to_numpy(), windows["ends"].to_numpy()
    before = np.where(np.r_[-1, owner][:-1] == owner, np.r_[0, ends][:-1], 0)
    open_intervals = windows.assign(
        opens=np.maximum(np.maximum(np.maximum(windows["starts"], before), opens), parked),
        closes=np.minimum(windows["ends"], closes),
    )
    active = mailboxes["mailbox_id"][mailboxes["is_active"].astype(bool)]
    open_ = (open_intervals["opens"] < open_intervals["closes"]) & open_intervals["mailbox_id"].isin(active)
    return open_intervals[open_].reset_index(drop=True)


def capacity(mailboxes: pd.DataFrame, open_intervals: pd.DataFrame, slots: pd.DataFrame) -> pd.DataFrame:
    """Return the pieces with allowed, used, placed and capacity (mails).

    `places` are all rows that count (planned, in flight, sent, hard_failed, unknown): mailbox_id, send_day,
    send_at. Capacity = min(limit left of the send_day, free cells of the gap's grid, ⌈limit × piece ÷
    window⌉ less the rows that have their place in the piece), never below 0; so a piece that is only the rest
    of a window takes only its share of the day's limit.
    """
    allowed = daily_limits(
        mailboxes, open_intervals["mailbox_id"].to_numpy(), open_intervals["send_day"].to_numpy()
    )
    used, placed = _counts(open_intervals, slots)
    length = (open_intervals["closes"] - open_intervals["opens"]).to_numpy(np.int64)
    window = (open_intervals["ends"] - open_intervals["starts"]).to_numpy(np.int64)
    share = -(-allowed * length // window) - placed
    mailbox_capacity = np.minimum(allowed - used, share)
    gaps = (
        mailboxes.set_index("mailbox_id")["min_gap_seconds"]
        .reindex(open_intervals["mailbox_id"])
        .to_numpy(np.int64)
    )
    gapped = np.flatnonzero((gaps > 0) & (mailbox_capacity > 0))
    times = occupied_times(slots, open_intervals["mailbox_id"].to_numpy()[gapped])
    for i in gapped:
        interval = open_intervals.iloc[i]
        cells = free_cells(
            int(interval["mailbox_id"]),
            int(gaps[i]),
            int(interval["opens"]),
            int(interval["closes"]),
            times.get(int(interval["mailbox_id"]), NO_TIMES),
        )
        mailbox_capacity[i] = min(mailbox_capacity[i], len(cells))
    return open_intervals.assign(
        allowed=allowed, used=used, placed=placed, capacity=np.maximum(mailbox_capacity, 0)
    )


NO_TIMES = np.empty(0, dtype=np.int64)


def occupied_times(slots: pd.DataFrame, mailbox_ids: np.ndarray) -> dict[int, np.ndarray]:
    """Return, by mailbox, the sorted seconds that its places hold; only of `mailbox_ids`."""
    wanted = slots[slots["mailbox_id"].isin(np.unique(mailbox_ids))]
    ordered = wanted.sort_values(["mailbox_id", "send_at"])
    ids, starts = np.unique(ordered["mailbox_id"].to_numpy(), return_index=True)
    return dict(zip(ids.tolist(), np.split(ordered["send_at"].to_numpy(), starts[1:]), strict=bool(len(ids))))


def free_cells(mailbox_id: int, gap: int, opens: int, closes: int, occupied: np.ndarray) -> np.ndarray:
    """Return the first seconds of the usable free cells in [opens, closes), ascending.

    The grid's cells are `gap` wide, counted from the epoch, with one offset a mailbox. A cell is free if no
    place is nearer than the gap to its first second.
    """
    offset = mailbox_id * GRID_PRIME % gap
    first = -(-(opens - offset) // gap) * gap + offset
    cells = np.arange(first, closes, gap, dtype=np.int64)
    if not len(occupied):
        return cells
    after = np.searchsorted(occupied, cells - gap, side="right")
    before = np.searchsorted(occupied, cells + gap, side="left")
    return cells[after == before]


def row_of_day(rows: pd.DataFrame, days: pd.DataFrame) -> np.ndarray:
    """Return, a row, which of `days` has its mailbox_id and send_day; -1 where none has. `days` has each pair once."""
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


def _counts(open_intervals: pd.DataFrame, slots: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return, a piece, how many places its send_day has, and how many of them lie in the piece."""
    row = row_of_day(slots, open_intervals)
    ours = row >= 0
    row, at = row[ours], slots["send_at"].to_numpy()[ours]
    inside = (at >= open_intervals["opens"].to_numpy()[row]) & (at < open_intervals["closes"].to_numpy()[row])
    return np.bincount(row, minlength=len(open_intervals)), np.bincount(
        row[inside], minlength=len(open_intervals)
    )
