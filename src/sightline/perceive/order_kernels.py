"""Compiled loops that put rows into canonical order.

They are specified in ``tests/perceive/reference_windows.py``.

Rows move from arrival order to key order once, as pairs of (time, row): sorting and comparing then
read memory in sequence. Gathering the times through an index instead took twice as long.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import types

from sightline.perceive.compiled import inner_loop, kernel
from sightline.records.windows import IdArray, IntArray

BoolArray = npt.NDArray[np.bool_]

_IDS = types.Array(types.uint32, 1, "C", readonly=True)
_INTS = types.Array(types.int64, 1, "C", readonly=True)
_IDS_OUT = types.Array(types.uint32, 1, "C")
_INTS_OUT = types.Array(types.int64, 1, "C")

_EARLIEST = np.iinfo(np.int64).min
_MOVES_PER_ROW = 8  # what insertion may cost before merging is cheaper


@inner_loop
def _count(key: IdArray, time_ns: IntArray, keys: int) -> tuple[IntArray, BoolArray]:
    """First position of each key, and whether its rows came strictly ascending in time."""
    position = np.zeros(keys, np.int64)
    latest = np.full(keys, _EARLIEST, np.int64)
    is_clean = np.ones(keys, np.bool_)
    for i in range(len(key)):
        k = key[i]
        t = time_ns[i]
        position[k] += 1
        if t <= latest[k]:
            is_clean[k] = False
        latest[k] = t
    start = 0
    for k in range(keys):
        count = position[k]
        position[k] = start
        start += count
    return position, is_clean


@inner_loop
def _scatter(key: IdArray, time_ns: IntArray, position: IntArray, pairs: IntArray) -> None:
    """Counting sort by key; stable. Leaves ``position`` behind the last row of each key."""
    for i in range(len(key)):
        k = key[i]
        p = position[k]
        pairs[2 * p] = time_ns[i]
        pairs[2 * p + 1] = i
        position[k] = p + 1


@inner_loop
def _highest_sequence(pairs: IntArray, lo: int, hi: int, sequence: IntArray) -> tuple[int, int]:
    """The row with the highest sequence, and how many rows share that sequence."""
    row = pairs[2 * lo + 1]
    rivals = 1
    for i in range(lo + 1, hi):
        rival = pairs[2 * i + 1]
        if sequence[rival] > sequence[row]:
            row = rival
            rivals = 1
        elif sequence[rival] == sequence[row]:
            rivals += 1
    return row, rivals


@inner_loop
def _insertion_sort(pairs: IntArray, lo: int, hi: int) -> bool:
    """Stable; nearly free where few rows are late. False if it gave up before the end."""
    moves = _MOVES_PER_ROW * (hi - lo)
    for i in range(lo + 1, hi):
        time = pairs[2 * i]
        if pairs[2 * i - 2] <= time:
            continue
        row = pairs[2 * i + 1]
        j = i
        while j > lo and pairs[2 * j - 2] > time:
            pairs[2 * j] = pairs[2 * j - 2]
            pairs[2 * j + 1] = pairs[2 * j - 1]
            j -= 1
        pairs[2 * j] = time
        pairs[2 * j + 1] = row
        moves -= i - j
        if moves < 0:
            return False
    return True


@inner_loop
def _merge_sort(pairs: IntArray, lo: int, hi: int) -> None:
    """Stable, bottom up; runs that are in order already are left alone."""
    spare = np.empty(2 * (hi - lo), np.int64)
    width = 1
    while width < hi - lo:
        for left in range(lo, hi - width, 2 * width):
            middle = left + width
            right = min(middle + width, hi)
            if pairs[2 * middle - 2] <= pairs[2 * middle]:
                continue
            for i in range(2 * width):
                spare[i] = pairs[2 * left + i]
            i = 0
            j = middle
            for out in range(left, right):
                if i == width:
                    break  # what is left of the right run is in place
                if j < right and pairs[2 * j] < spare[2 * i]:
                    pairs[2 * out] = pairs[2 * j]
                    pairs[2 * out + 1] = pairs[2 * j + 1]
                    j += 1
                else:
                    pairs[2 * out] = spare[2 * i]
                    pairs[2 * out + 1] = spare[2 * i + 1]
                    i += 1
        width *= 2


@kernel(_IDS, _INTS, _INTS, types.int64, _INTS_OUT, _IDS_OUT, _INTS_OUT)
def order_rows(  # noqa: PLR0917 - numba takes no keyword-only arguments
    key: IdArray,
    time_ns: IntArray,
    sequence: IntArray,
    keys: int,
    pairs: IntArray,
    kept_key: IdArray,
    kept_time_ns: IntArray,
) -> tuple[IntArray, IntArray, IntArray]:
    """Sort rows by (key, time) and keep the highest sequence of each.

    Args:
        key: uint32[n], all below ``keys``.
        time_ns: int64[n].
        sequence: int64[n].
        keys: number of counters to allot.
        pairs: int64[2n], room to work in. The caller allocates it because NumPy asks for huge
            pages and numba does not.
        kept_key: uint32[n], its first m become the keys of the rows kept.
        kept_time_ns: int64[n], its first m become their times.

    Returns:
        ``kept`` int64[m], the rows kept, a view of ``pairs``; ``tied_row`` and ``tied_at``
        int64[t]: rows that share key, time and highest sequence, and the position in ``kept``
        that one of them is to have. ``tied_at`` ascends.
    """
    end, is_clean = _count(key, time_ns, keys)
    _scatter(key, time_ns, end, pairs)
    tied_row = np.empty(len(key), np.int64)  # pages that are never written take no memory
    tied_at = np.empty(len(key), np.int64)
    ties = 0
    out = 0  # overwrites pairs, but never one that is still to be read
    lo = 0
    for k in range(keys):
        hi = end[k]
        if is_clean[k]:
            for i in range(lo, hi):
                kept_key[out] = k
                kept_time_ns[out] = pairs[2 * i]
                pairs[out] = pairs[2 * i + 1]
                out += 1
            lo = hi
            continue
        if not _insertion_sort(pairs, lo, hi):
            _merge_sort(pairs, lo, hi)
        while lo < hi:
            behind = lo + 1
            while behind < hi and pairs[2 * behind] == pairs[2 * lo]:
                behind += 1
            row = pairs[2 * lo + 1]
            if behind - lo > 1:
                row, rivals = _highest_sequence(pairs, lo, behind, sequence)
                if rivals > 1:
                    best = sequence[row]
                    for i in range(lo, behind):
                        if sequence[pairs[2 * i + 1]] == best:
                            tied_row[ties] = pairs[2 * i + 1]
                            tied_at[ties] = out
                            ties += 1
            kept_key[out] = k
            kept_time_ns[out] = pairs[2 * lo]
            pairs[out] = row
            out += 1
            lo = behind
    return pairs[:out], tied_row[:ties].copy(), tied_at[:ties].copy()
