"""The canonical order of rows, which makes every result a function of the *multiset* of rows.

Neither the order of arrival nor the cut into batches can show in a single bit. Rows move from
arrival order to key order once, as pairs of (time, row): sorting and comparing then read memory in
sequence. Gathering the times through an index instead took twice as long. The loops are specified
in ``tests/perceive/reference_windows.py``.

>>> import numpy as np
>>> order = canonical_order(key=np.array([1, 0, 1, 1], np.uint32), time_ns=np.array([5, 0, 3, 3]),
...                         sequence=np.array([0, 0, 1, 2]),
...                         payload=(np.array([10.0, 20.0, 30.0, 40.0]),))
>>> order.kept.tolist(), order.superseded
([1, 3, 0], 1)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import types

from sightline.perceive.compiled import inner_loop, kernel
from sightline.records.windows import FloatArray, IdArray, IntArray

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


# --- the order ------------------------------------------------------------------------------------

_FEW_KEYS = 1 << 16  # counters that are always affordable: they fit a second-level cache
_SPARSE = 4  # ids per row above which the ids are renumbered first


@dataclass(frozen=True, slots=True, kw_only=True)
class CanonicalOrder:
    """Which rows stay, in which order.

    Attributes:
        kept: int64[m], positions of the rows kept, sorted by (key, time).
        key: uint32[m], their keys.
        time_ns: int64[m], their times.
        superseded: rows that lost against another of the same key and time.
    """

    kept: IntArray
    key: IdArray
    time_ns: IntArray
    superseded: int


def canonical_order(
    *,
    key: IdArray,
    time_ns: IntArray,
    sequence: IntArray,
    payload: Sequence[FloatArray | IdArray],
) -> CanonicalOrder:
    """Sort rows by (key, time) and keep one of each.

    Of rows with equal key and time the one with the highest sequence stays; of those, the one
    whose payload is highest, column by column. Floats compare by total order: NaN lowest (all NaN
    are equal), then -inf … -0.0, 0.0 … inf.

    Args:
        key: uint32[n], key ids; cheapest when dense.
        time_ns: int64[n], event time.
        sequence: int64[n], the source's counter, -1 where there is none.
        payload: float64[n] or uint32[n] each; all that tells two rows apart.
    """
    key = np.ascontiguousarray(key, np.uint32)
    keys = int(key.max()) + 1 if len(key) else 0
    distinct: IdArray | None = None
    if keys > max(_FEW_KEYS, _SPARSE * len(key)):
        distinct, inverse = np.unique(key, return_inverse=True)
        key, keys = inverse.astype(np.uint32), len(distinct)
    n = len(key)
    kept_key, kept_time_ns = np.empty(n, np.uint32), np.empty(n, np.int64)
    kept, tied_row, tied_at = order_rows(
        key,
        np.ascontiguousarray(time_ns),
        np.ascontiguousarray(sequence),
        keys,
        np.empty(2 * n, np.int64),
        kept_key,
        kept_time_ns,
    )
    if len(tied_row):
        row, at = _highest_payload(tied_row, tied_at, payload)
        kept[at] = row
    kept_key = kept_key[: len(kept)]
    return CanonicalOrder(
        kept=kept,
        key=kept_key if distinct is None else distinct[kept_key],
        time_ns=kept_time_ns[: len(kept)],
        superseded=n - len(kept),
    )


def _highest_payload(
    row: IntArray, at: IntArray, payload: Sequence[FloatArray | IdArray]
) -> tuple[IntArray, IntArray]:
    """One row of each run of equal ``at``: the one with the highest payload."""
    for column in payload:
        start, length = _runs(at)
        if len(start) == len(at):
            break
        rank = total_order(column[row].astype(np.float64))
        is_highest = rank == np.repeat(np.maximum.reduceat(rank, start), length)
        row, at = row[is_highest], at[is_highest]
    start, _ = _runs(at)  # rows that are still tied are equal
    return row[start], at[start]


def _runs(value: IntArray) -> tuple[IntArray, IntArray]:
    """Start and length of each run of equal values."""
    start = np.flatnonzero(np.concatenate([[True], value[1:] != value[:-1]]))
    return start, np.diff(start, append=len(value))


def total_order(values: FloatArray) -> IntArray:
    """int64 ranks with the total order of the floats: NaN < -inf < … < -0.0 < 0.0 < … < inf.

    >>> total_order(np.array([0.0, -0.0, np.nan, -np.inf])).argsort().tolist()
    [2, 3, 1, 0]
    """
    bits = np.ascontiguousarray(values, np.float64).view(np.int64)
    # Two's complement counts negative floats backwards; turning all bits but the sign mends it.
    rank: IntArray = bits ^ ((bits >> 63) & np.iinfo(np.int64).max)
    return np.where(np.isnan(values), np.iinfo(np.int64).min, rank)
