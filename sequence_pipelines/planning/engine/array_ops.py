"""Ranks, orders, counts and matches arrays of a million integers."""

from __future__ import annotations

import numpy as np
import pandas as pd

PACKED_BITS = 63  # of an int64 that stays positive
SPARSE = 64  # a table of a range of numbers pays off up to so many entries for each number in use


def ranked(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each integer's rank (from 0) among the distinct ones, and the distinct ones in order."""
    lowest = values.min(initial=np.iinfo(np.int64).max)
    if len(values) and values.max() - lowest < len(values):
        above = values - lowest
        present = np.bincount(above) > 0
        return (np.cumsum(present) - 1)[above], np.flatnonzero(present) + lowest
    return pd.factorize(values, sort=True)


def ranks(values: np.ndarray) -> np.ndarray:
    """Return each integer's rank among the distinct ones, from 0."""
    return ranked(values)[0]


def all_differ(values: np.ndarray) -> bool:
    """Return whether no value occurs twice; values in a narrow range are marked in a table, not sorted."""
    if not len(values):
        return True
    lowest = int(values.min())
    span = int(values.max()) - lowest + 1
    if span > SPARSE * len(values):
        return bool((np.diff(np.sort(values)) > 0).all())
    marked = np.zeros(span, dtype=bool)
    marked[values - lowest] = True
    return int(np.count_nonzero(marked)) == len(values)


def key_order(*columns: np.ndarray | pd.Series) -> np.ndarray:
    """Return the order by the first column of integers, then the second, …; equal rows stay as they are.

    The columns and the row's position are packed into one 63-bit number, because numpy sorts plain integers
    many times faster than it sorts several keys; the positions in the sorted numbers are the order. Columns
    that do not fit into 63 bits are sorted in several stable passes, the last columns first.
    """
    keys = [np.asarray(column) for column in columns]
    rows = len(keys[0])
    if not rows:
        return np.arange(0)
    lowest = [int(key.min()) for key in keys]
    bits = [(int(key.max()) - low).bit_length() for key, low in zip(keys, lowest, strict=True)]
    row_bits = rows.bit_length()
    if sum(bits) <= PACKED_BITS:
        packed = _packed(keys, lowest, bits)
        if (packed[1:] >= packed[:-1]).all():  # already in order
            return np.arange(rows)
        if sum(bits) + row_bits <= PACKED_BITS:
            return _sorted_positions(packed, row_bits)
    order = np.arange(rows)
    end = len(keys)
    while end:
        begin = end - 1
        while begin and sum(bits[begin - 1 : end]) + row_bits <= PACKED_BITS:
            begin -= 1
        if sum(bits[begin:end]) + row_bits <= PACKED_BITS:
            packed = _packed(keys[begin:end], lowest[begin:end], bits[begin:end])
            order = order[_sorted_positions(packed[order], row_bits)]
        else:  # a single column that is too wide
            order = order[np.argsort(keys[begin][order], kind="stable")]
        end = begin
    return order


def _sorted_positions(packed: np.ndarray, row_bits: int) -> np.ndarray:
    """Return the stable order of numbers that leave `row_bits` bits for a row's position."""
    numbers = packed << row_bits
    numbers |= np.arange(len(packed))
    numbers.sort()
    numbers &= (1 << row_bits) - 1
    return numbers


def _packed(keys: list[np.ndarray], lowest: list[int], bits: list[int]) -> np.ndarray:
    packed = np.zeros(
        len(keys[0]), dtype=np.int64
    )  # worked on in place: fresh memory costs more than the work
    for key, low, width in zip(keys, lowest, bits, strict=True):
        packed <<= width
        packed |= key - low
    return packed


def stable_order(codes: np.ndarray) -> np.ndarray:
    """Return the stable order of small codes (0, 1, …): numpy sorts 16 bits by counting, in linear time."""
    order = np.argsort(codes.astype(np.uint16), kind="stable")
    if codes.max(initial=0) > np.iinfo(np.uint16).max:
        order = order[np.argsort((codes[order] >> 16).astype(np.uint16), kind="stable")]
    return order


def first_of_each(groups: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return which elements are among the first counts[group] of their group, in the order given."""
    cut = np.bincount(groups, minlength=len(counts)) > counts
    chosen = ~cut[groups]
    some = np.flatnonzero(~chosen)
    chosen[some] = rank_in_group(groups[some]) < counts[groups[some]]
    return chosen


def rank_in_group(groups: np.ndarray) -> np.ndarray:
    """Return each element's position (from 0) in its group, in the order given."""
    order = stable_order(groups)
    ordered = groups[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(order) else np.zeros(0, np.int64)
    ranks = np.empty(len(groups), dtype=np.int64)
    ranks[order] = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    return ranks


def are_among(rows: pd.DataFrame, others: pd.DataFrame, also: list[str]) -> np.ndarray:
    """Return which `rows` have their sequence_id, contact_id and the columns `also` in a row of `others`."""
    key = ["sequence_id", "contact_id", *also]
    if rows.empty or others.empty:
        return np.zeros(len(rows), dtype=bool)
    if len(rows) == len(others) and all(np.array_equal(rows[c], others[c]) for c in key):
        return np.ones(len(rows), dtype=bool)
    code = np.zeros(len(rows) + len(others), dtype=np.int64)
    for column in key:
        codes, values = pd.factorize(np.r_[rows[column].to_numpy(), others[column].to_numpy()])
        code = pd.factorize(code * len(values) + codes)[0].astype(np.int64)
    return np.isin(code[: len(rows)], code[len(rows) :])


def mixed(first: np.ndarray, second: np.ndarray | int, bits: int = 24) -> np.ndarray:
    """Return a hash of so many bits for each pair (splitmix64), so that a lower id has no advantage."""
    with np.errstate(over="ignore"):
        x = np.asarray(first).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        x += np.asarray(second).astype(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    return (x >> np.uint64(64 - bits)).astype(np.int64)


def sum_by(keys: pd.Series, of: pd.Series, values: pd.Series) -> np.ndarray:
    """Return for each of the distinct `keys` the sum of the whole-numbered `values` whose key it is."""
    at = pd.Index(keys).get_indexer(pd.Index(of))
    known = at >= 0
    total = np.bincount(at[known], weights=values.to_numpy()[known], minlength=len(keys))
    return total.astype(np.int64)
