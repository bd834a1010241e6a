"""Assigns a second to each mail: spread evenly over the mailbox's open intervals, and deterministic."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sequence_pipelines.planning.engine.array_ops import stable_order
from sequence_pipelines.planning.engine.capacity import NO_TIMES, find_cells, occupied_times

JITTER = 0.25  # of the distance between two slots, in both directions
TAIL_SECONDS = 60  # the end of an interval that gets no spread slot, so that a late last mail is still sent
CHUNK = 1 << 16  # slots spread at once: the intermediate arrays fit into the processor's cache
TAIL_PARTS = 20  # a short interval has a tail of this part of it


def pace(
    assigned: np.ndarray, mailboxes: pd.DataFrame, open_intervals: pd.DataFrame, slots: pd.DataFrame
) -> pd.DataFrame:
    """Return send_day (epoch day), send_at and window_ends (epoch seconds) for each element of `assigned`.

    assigned         positions of intervals in order of priority: the first one of an interval gets its
                     earliest slot
    open_intervals   as count_capacity returns them, sorted by mailbox and time
    slots            the rows that count: mailbox_id, send_at. New slots fill the gaps of an even spread of
                     all

    Raises ValueError if an interval has more mails assigned than it has capacity.
    """
    counts = np.bincount(assigned, minlength=len(open_intervals))
    if (counts > open_intervals["capacity"].to_numpy()).any():
        raise ValueError("more mails are assigned to an interval than it has capacity for")
    times = np.empty(len(assigned), dtype=np.int64)
    times[stable_order(assigned)] = _times(counts, mailboxes, open_intervals, slots)
    return pd.DataFrame(
        {
            "send_day": open_intervals["send_day"].to_numpy()[assigned],
            "send_at": times,
            "window_ends": open_intervals["ends"].to_numpy()[assigned],
        },
        copy=False,
    )


def _times(
    counts: np.ndarray, mailboxes: pd.DataFrame, open_intervals: pd.DataFrame, slots: pd.DataFrame
) -> np.ndarray:
    """Return the seconds of the new slots, interval by interval, each ascending."""
    opens, closes = open_intervals["opens"].to_numpy(np.int64), open_intervals["closes"].to_numpy(np.int64)
    tail = np.minimum(TAIL_SECONDS, (closes - opens) // TAIL_PARTS)
    spread_over = open_intervals.assign(closes=closes - tail)
    times = _even_times(counts, spread_over)
    gap = (
        mailboxes.set_index("mailbox_id")["min_gap_seconds"]
        .reindex(open_intervals["mailbox_id"])
        .to_numpy(np.int64)
    )
    special = np.flatnonzero((counts > 0) & ((gap > 0) | (open_intervals["placed"].to_numpy() > 0)))
    if not len(special):
        return times
    first = np.cumsum(counts) - counts
    mailbox_ids = open_intervals["mailbox_id"].to_numpy(np.int64)
    held = occupied_times(slots, mailbox_ids[special])
    all_cells = find_cells(open_intervals, gap, slots)
    for i in special.tolist():
        taken = held.get(int(mailbox_ids[i]), NO_TIMES)
        here = slice(first[i], first[i] + counts[i])
        if gap[i] > 0:
            cells = all_cells[i]
            times[here] = cells[((np.arange(counts[i]) + 0.5) * len(cells) / counts[i]).astype(np.int64)]
        else:
            inside = taken[(taken >= opens[i]) & (taken < closes[i])]
            times[here] = _between(spread_over.iloc[i], int(counts[i]), inside)
    return times


def _even_times(counts: np.ndarray, open_intervals: pd.DataFrame) -> np.ndarray:
    """Return `counts` evenly spread seconds for each interval, as if no slot was occupied."""
    interval = np.repeat(np.arange(len(open_intervals)), counts)
    first = np.cumsum(counts) - counts
    times = np.empty(len(interval), dtype=np.int64)
    for begin in range(0, len(interval), CHUNK):
        here = interval[begin : begin + CHUNK]
        slot = np.arange(begin, begin + len(here)) - first[here]
        times[begin : begin + CHUNK] = _spread(open_intervals, here, slot, counts[here])
    return times


def _between(interval: pd.Series, count: int, held: np.ndarray) -> np.ndarray:
    """Return `count` seconds that, with the occupied ones in `held`, are an even spread."""
    total = count + len(held)
    length = interval["closes"] - interval["opens"]
    wanted = np.minimum((held - interval["opens"]) * total // length, total - 1)
    # Each occupied time takes the slot that contains it, or the next free one, so that `count` slots are
    # left.
    taken = np.maximum.accumulate(wanted - np.arange(len(wanted))) + np.arange(len(wanted))
    overflow = np.arange(total - len(taken), total)
    taken = np.minimum(taken, overflow)
    slots = np.setdiff1d(np.arange(total), taken)
    frame = interval.to_frame().T
    return _spread(frame, np.zeros(count, dtype=np.int64), slots, np.full(count, total))


def _spread(
    open_intervals: pd.DataFrame, interval: np.ndarray, slot: np.ndarray, of: np.ndarray
) -> np.ndarray:
    """Return the second of slot `slot` of `of` in its interval: the middle of its share, with jitter."""
    opens = open_intervals["opens"].to_numpy(np.int64)[interval]
    closes = open_intervals["closes"].to_numpy(np.int64)[interval]
    jitter = _jitter(
        open_intervals["mailbox_id"].to_numpy(np.int64)[interval],
        open_intervals["send_day"].to_numpy(np.int64)[interval],
        slot,
    )
    position = (slot + 0.5 + JITTER * jitter) / np.maximum(of, 1)
    return np.clip(opens + np.floor(position * (closes - opens)).astype(np.int64), opens, closes - 1)


def _jitter(mailbox_ids: np.ndarray, send_days: np.ndarray, slots: np.ndarray) -> np.ndarray:
    """Return a number in [-1, 1) that is a function of mailbox, day and slot (splitmix64)."""
    with np.errstate(over="ignore"):
        x = (
            mailbox_ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
            + send_days.astype(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F)
            + slots.astype(np.uint64) * np.uint64(0x165667B19E3779F9)
        )
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    return (x >> np.uint64(11)).astype(np.float64) / 2**52 - 1.0
