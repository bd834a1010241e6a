"""Computes how many mails still fit within each day's limit, its open time, and the gap's grid."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sequence_pipelines.planning.engine.windows import misconfigured
from sequence_store.domain.states import Deferral

GRID_PRIME = (
    7919  # gives each mailbox its own grid offset; the SQL function next_free_place has the same number
)
UNBOUNDED = 2**30  # more mails than any day has
NO_TIMES = np.empty(0, dtype=np.int64)


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
    """Return the open intervals with allowed, used, placed and capacity, each in mails.

    `slots` are all rows that count (planned, in flight, sent, hard_failed, unknown): mailbox_id, send_day,
    send_at. capacity = min(allowed less used on the send_day, free cells of the gap's grid, ⌈allowed ×
    interval ÷ window⌉ less the slots inside the interval), at least 0. So the rest of a window gets only its
    share of the day's limit.
    """
    mailbox_ids = intervals["mailbox_id"].to_numpy()
    allowed = daily_limits(mailboxes, mailbox_ids, intervals["send_day"].to_numpy())
    used, placed = _counts(intervals, slots)
    length = (intervals["closes"] - intervals["opens"]).to_numpy(np.int64)
    window = (intervals["ends"] - intervals["starts"]).to_numpy(np.int64)
    share = -(-allowed * length // window) - placed
    capacity = np.minimum(allowed - used, share)
    gaps = mailboxes.set_index("mailbox_id")["min_gap_seconds"].reindex(mailbox_ids).to_numpy(np.int64)
    gapped = np.flatnonzero((gaps > 0) & (capacity > 0))
    times = occupied_times(slots, mailbox_ids[gapped])
    for i in gapped:
        interval = intervals.iloc[i]
        mailbox_id = int(interval["mailbox_id"])
        occupied = times.get(mailbox_id, NO_TIMES)
        cells = free_cells(
            mailbox_id, int(gaps[i]), int(interval["opens"]), int(interval["closes"]), occupied
        )
        capacity[i] = min(capacity[i], len(cells))
    return intervals.assign(allowed=allowed, used=used, placed=placed, capacity=np.maximum(capacity, 0))


def find_mailbox_capacity(
    mailboxes: pd.DataFrame, intervals: pd.DataFrame, first_mails: pd.DataFrame, opens: int
) -> pd.DataFrame:
    """Return what each mailbox can take: mailbox_id, load, capacity, first_mails (mails), and state.

    intervals     as count_capacity returns them
    first_mails   mailbox_id, first_mails: those that this planning day has already
    opens         epoch seconds from which on the plan may use the day

    `state` is empty if the mailbox is open today, else the reason why it is not.
    """
    ids = mailboxes["mailbox_id"]
    by_mailbox = intervals.groupby("mailbox_id")[["used", "capacity"]].sum().reindex(ids, fill_value=0)
    begun = first_mails.groupby("mailbox_id")["first_mails"].sum().reindex(ids, fill_value=0)
    bound = mailboxes["max_first_mails"].fillna(UNBOUNDED).to_numpy() - begun.to_numpy()
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
            "load": by_mailbox["used"].to_numpy(np.int64),
            "capacity": by_mailbox["capacity"].to_numpy(np.int64),
            "first_mails": np.maximum(bound, 0).astype(np.int64),
            "state": state.astype(object),
        }
    )


def new_left(sequences: pd.DataFrame, first_mails: pd.DataFrame) -> pd.DataFrame:
    """Return how many first mails each sequence may still begin today: sequence_id, new_left."""
    begun = (
        first_mails.groupby("sequence_id")["first_mails"]
        .sum()
        .reindex(sequences["sequence_id"], fill_value=0)
    )
    left = sequences["max_new_per_day"].fillna(UNBOUNDED).to_numpy() - begun.to_numpy()
    return pd.DataFrame(
        {"sequence_id": sequences["sequence_id"], "new_left": np.clip(left, 0, UNBOUNDED).astype(np.int64)}
    )


def occupied_times(slots: pd.DataFrame, mailbox_ids: np.ndarray) -> dict[int, np.ndarray]:
    """Return the sorted send_at seconds of the slots by mailbox, for `mailbox_ids` only."""
    wanted = slots[slots["mailbox_id"].isin(np.unique(mailbox_ids))]
    ordered = wanted.sort_values(["mailbox_id", "send_at"])
    ids, starts = np.unique(ordered["mailbox_id"].to_numpy(), return_index=True)
    return dict(zip(ids.tolist(), np.split(ordered["send_at"].to_numpy(), starts[1:]), strict=bool(len(ids))))


def free_cells(mailbox_id: int, gap: int, opens: int, closes: int, occupied: np.ndarray) -> np.ndarray:
    """Return the first seconds of the free grid cells in [opens, closes), ascending.

    The cells are `gap` seconds wide, counted from the epoch, with one offset a mailbox. A cell is free if no
    occupied time is nearer than the gap to its first second. The SQL function next_free_place has the same
    grid; a property test holds both together.
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
