"""Compiled loops over canonical rows: their windows, and statistics of those.

What they compute is specified in ``tests/perceive/reference_windows.py``.

One core, no fast-math: the order of floating-point operations is the order of the rows, so equal
rows give equal bits. Each kernel has one explicit signature with read-only inputs: it is compiled
once per machine and not again for every mixture of writable and read-only arrays.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import types

from sightline.perceive.compiled import inner_loop, kernel
from sightline.records.windows import FloatArray, IdArray, IntArray

_F8 = types.Array(types.float64, 1, "C", readonly=True)
_I8 = types.Array(types.int64, 1, "C", readonly=True)
_U4 = types.Array(types.uint32, 1, "C", readonly=True)

# --- segments --------------------------------------------------------------------------------


@kernel(_U4, _I8, types.int64)
def pane_starts(
    key: IdArray, time_ns: IntArray, pane_ns: int
) -> tuple[IdArray, IntArray, IntArray]:
    """Key, pane number and first row of each non-empty (key, pane) of canonical rows."""
    n = len(key)
    panes = 0
    pane_key = np.empty(n, np.uint32)
    pane = np.empty(n, np.int64)
    lo = np.empty(n, np.int64)
    until = 0
    for i in range(n):
        t = time_ns[i]
        if i == 0 or key[i] != key[i - 1] or t >= until:
            number = t // pane_ns
            until = (number + 1) * pane_ns
            pane_key[panes] = key[i]
            pane[panes] = number
            lo[panes] = i
            panes += 1
    return pane_key[:panes].copy(), pane[:panes].copy(), lo[:panes].copy()


@kernel(_U4, _I8, _I8, types.int64, types.int64)
def overlapping_windows(
    pane_key: IdArray, pane: IntArray, lo: IntArray, rows: int, overlap: int
) -> tuple[IdArray, IntArray, IntArray, IntArray]:
    """Windows of ``overlap`` panes each, one starting at every pane, as ranges of rows."""
    panes = len(pane)
    most = panes * overlap
    key = np.empty(most, np.uint32)
    window = np.empty(most, np.int64)
    window_lo = np.empty(most, np.int64)
    window_hi = np.empty(most, np.int64)
    found = 0
    first = 0  # first pane of the key at hand
    while first < panes:
        last = first
        while last + 1 < panes and pane_key[last + 1] == pane_key[first]:
            last += 1
        head = first  # first pane inside the window
        tail = first  # first pane behind it
        number = pane[first] - overlap + 1
        while head <= last:
            while tail <= last and pane[tail] < number + overlap:
                tail += 1
            key[found] = pane_key[first]
            window[found] = number
            window_lo[found] = lo[head]
            window_hi[found] = lo[tail] if tail < panes else rows
            found += 1
            number += 1
            while head <= last and pane[head] < number:
                head += 1
            if head <= last:  # jump over windows without rows
                number = max(number, pane[head] - overlap + 1)
        first = last + 1
    return (
        key[:found].copy(),
        window[:found].copy(),
        window_lo[:found].copy(),
        window_hi[:found].copy(),
    )


# --- statistics ------------------------------------------------------------------------------


@kernel(_F8, _I8, _I8, types.boolean)
def moments(values: FloatArray, lo: IntArray, hi: IntArray, with_std: bool) -> FloatArray:
    """float64[7, s]: count, mean, min, max, std, first and last of the valid values."""
    segments = len(lo)
    out = np.full((7, segments), np.nan)
    for s in range(segments):
        count = 0
        total = 0.0
        low = np.inf
        high = -np.inf
        first = np.nan
        last = np.nan
        for i in range(lo[s], hi[s]):
            v = values[i]
            if not np.isnan(v):
                if count == 0:
                    first = v
                last = v
                count += 1
                total += v
                low = min(low, v)
                high = max(high, v)
        out[0, s] = count
        if count == 0:
            continue
        # Adding 0.0 makes a negative zero positive, so that the sign cannot depend on the order.
        low += 0.0
        high += 0.0
        # Rounding must not put the mean outside the values; a constant has its own value as mean.
        mean = min(max(total / count, low), high)
        out[1, s] = mean
        out[2, s] = low
        out[3, s] = high
        out[5, s] = first
        out[6, s] = last
        if with_std:
            squares = 0.0
            for i in range(lo[s], hi[s]):
                v = values[i]
                if not np.isnan(v):
                    squares += (v - mean) * (v - mean)
            out[4, s] = np.sqrt(squares / count)
    return out


@inner_loop
def _select(values: FloatArray, lo: int, hi: int, rank: int) -> None:
    """Put the value of ``rank`` in its sorted place within ``[lo, hi]`` (quickselect).

    Partitions without branches (Lomuto's scheme), 2.4 times faster here than Hoare's: which side
    a value falls on cannot be predicted. The pivot is a median of three, one of them at a position
    drawn from a fixed sequence, so that sorted, organ-pipe and constant inputs stay linear.
    """
    state = np.uint64(0x9E3779B97F4A7C15)
    while lo < hi:
        state = state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
        a = values[lo + np.int64((state >> np.uint64(33)) % np.uint64(hi - lo + 1))]
        b = values[(lo + hi) >> 1]
        c = values[hi]
        pivot = max(min(a, b), min(max(a, b), c))
        store = lo
        for i in range(lo, hi + 1):
            v = values[i]
            values[i] = values[store]
            values[store] = v
            store += v < pivot
        if rank < store:
            hi = store - 1
            continue
        # Values equal to the pivot go next to it, or a constant range would never shrink.
        for i in range(store, hi + 1):
            v = values[i]
            values[i] = values[store]
            values[store] = v
            store += v <= pivot
        if rank < store:
            return
        lo = store


@kernel(_F8, _I8, _I8, _F8)
def quantiles(
    values: FloatArray, lo: IntArray, hi: IntArray, probability: FloatArray
) -> FloatArray:
    """float64[q, s]: quantiles of the valid values; ``probability`` ascends within 0 to 1."""
    segments = len(lo)
    out = np.full((len(probability), segments), np.nan)
    longest = 0
    for s in range(segments):
        longest = max(longest, hi[s] - lo[s])
    valid = np.empty(longest, np.float64)
    for s in range(segments):
        n = 0
        for i in range(lo[s], hi[s]):
            v = values[i]
            valid[n] = v + 0.0  # as in `moments`: no negative zeros
            n += not np.isnan(v)
        if n == 0:
            continue
        placed = 0  # ranks below are in place already
        for q in range(len(probability)):
            at = (n - 1) * probability[q]
            rank = int(at)
            if rank >= placed:
                _select(valid, placed, n - 1, rank)
                placed = rank + 1
            below = valid[rank]
            weight = at - rank
            if weight == 0.0 or rank + 1 >= n:
                out[q, s] = below
                continue
            above = np.inf
            for i in range(rank + 1, n):
                above = min(above, valid[i])
            step = above - below
            if below == above:
                out[q, s] = below
            elif weight >= 0.5:
                out[q, s] = above - step * (1.0 - weight)
            else:
                out[q, s] = below + step * weight
    return out


@kernel(_F8, _I8, _I8, _I8)
def changes(values: FloatArray, time_ns: IntArray, lo: IntArray, hi: IntArray) -> FloatArray:
    """float64[2, s]: longest time without a change in s, largest rate of change in 1/s."""
    segments = len(lo)
    out = np.full((2, segments), np.nan)
    for s in range(segments):
        count = 0
        stuck_ns = 0
        fastest = -1.0
        since = 0
        before = 0.0
        before_ns = 0
        for i in range(lo[s], hi[s]):
            v = values[i]
            if np.isnan(v):
                continue
            t = time_ns[i]
            if count == 0 or v != before:
                since = t
            stuck_ns = max(stuck_ns, t - since)
            if count > 0:
                rate = abs(v - before) / ((t - before_ns) / 1e9)
                if not np.isnan(rate):  # between two infinities
                    fastest = max(fastest, rate)
            before = v
            before_ns = t
            count += 1
        if count > 0:
            out[0, s] = stuck_ns / 1e9
        if fastest >= 0.0:
            out[1, s] = fastest
    return out


@kernel(_I8, _I8, _I8, _I8)
def row_counts(
    time_ns: IntArray, sequence: IntArray, lo: IntArray, hi: IntArray
) -> npt.NDArray[np.int64]:
    """int64[6, s]: rows, first and last time, lowest, highest and distinct sequence numbers."""
    segments = len(lo)
    out = np.full((6, segments), -1, np.int64)
    longest = 0
    for s in range(segments):
        longest = max(longest, hi[s] - lo[s])
    known = np.empty(longest, np.int64)
    for s in range(segments):
        rows = hi[s] - lo[s]
        out[0, s] = rows
        if rows == 0:
            continue
        out[1, s] = time_ns[lo[s]]
        out[2, s] = time_ns[hi[s] - 1]
        n = 0
        ascends = True
        for i in range(lo[s], hi[s]):
            if sequence[i] >= 0:
                known[n] = sequence[i]
                ascends &= n == 0 or known[n] > known[n - 1]
                n += 1
        if n == 0:
            continue
        distinct = n
        if not ascends:
            known[:n].sort()
            for i in range(1, n):
                distinct -= known[i] == known[i - 1]
        out[3, s] = known[0]
        out[4, s] = known[n - 1]
        out[5, s] = distinct
    return out
