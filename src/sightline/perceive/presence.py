"""Presence: the first and last time at which a key had data, per slot of event time.

Unlike an aggregate, presence needs neither order nor deduplication, and more data can only widen
it. So it is kept up to date row by row and may be read at any tick.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import types

from sightline.perceive.compiled import kernel
from sightline.records.windows import IdArray, IntArray

_U4 = types.Array(types.uint32, 1, "C", readonly=True)
_I8 = types.Array(types.int64, 1, "C", readonly=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class PresenceRows:
    """One row per (key, slot), sorted by key, then slot.

    Attributes:
        key: uint32[n].
        window: int64[n], slot number; the slot starts at ``window * width_ns``.
        first_ns: int64[n], earliest event time.
        last_ns: int64[n], latest event time.
        group: uint32[n], group of the latest row.
    """

    key: IdArray
    window: IntArray
    first_ns: IntArray
    last_ns: IntArray
    group: IdArray

    def __len__(self) -> int:
        return len(self.key)


def presence(*, key: IdArray, group: IdArray, time_ns: IntArray, width_ns: int) -> PresenceRows:
    """Presence of the given rows (any order).

    Args:
        key: uint32[n] key ids.
        group: uint32[n] group ids.
        time_ns: int64[n] event times.
        width_ns: width of a slot, > 0.
    """
    if not len(key):
        none = np.empty(0, np.int64)
        nobody = np.empty(0, np.uint32)
        return PresenceRows(key=nobody, window=none, first_ns=none, last_ns=none, group=nobody)
    runs = _runs(key, group, time_ns, width_ns, int(key.max()) + 1)
    return merge_presence(
        PresenceRows(key=runs[0], window=runs[1], first_ns=runs[2], last_ns=runs[3], group=runs[4])
    )


def merge_presence(rows: PresenceRows) -> PresenceRows:
    """Make (key, slot) unique: the earliest first, the latest last and its group."""
    order = np.lexsort((rows.group, rows.last_ns, rows.window, rows.key))
    key, window = rows.key[order], rows.window[order]
    is_start = np.ones(len(order), np.bool_)
    is_start[1:] = (key[1:] != key[:-1]) | (window[1:] != window[:-1])
    start = np.flatnonzero(is_start)
    end = np.append(start[1:], len(order)) - 1
    return PresenceRows(
        key=key[start],
        window=window[start],
        first_ns=np.minimum.reduceat(rows.first_ns[order], start),
        last_ns=rows.last_ns[order][end],
        group=rows.group[order][end],
    )


@kernel(_U4, _U4, _I8, types.int64, types.int64)
def _runs(
    key: npt.NDArray[np.uint32],
    group: npt.NDArray[np.uint32],
    time_ns: npt.NDArray[np.int64],
    width_ns: int,
    keys: int,
) -> tuple[
    npt.NDArray[np.uint32],
    npt.NDArray[np.int64],
    npt.NDArray[np.int64],
    npt.NDArray[np.int64],
    npt.NDArray[np.uint32],
]:
    """Runs of rows of one key in one slot, merged while they follow each other."""
    n = len(key)
    at = np.full(keys, -1, np.int64)  # position of each key's current run
    out_key = np.empty(n, np.uint32)
    out_window = np.empty(n, np.int64)
    out_first = np.empty(n, np.int64)
    out_last = np.empty(n, np.int64)
    out_group = np.empty(n, np.uint32)
    runs = 0
    for i in range(n):
        k = key[i]
        t = time_ns[i]
        slot = t // width_ns
        j = at[k]
        if j >= 0 and out_window[j] == slot:
            out_first[j] = min(out_first[j], t)
            if t > out_last[j] or (t == out_last[j] and group[i] > out_group[j]):
                out_last[j] = t
                out_group[j] = group[i]
        else:
            at[k] = runs
            out_key[runs] = k
            out_window[runs] = slot
            out_first[runs] = t
            out_last[runs] = t
            out_group[runs] = group[i]
            runs += 1
    return (
        out_key[:runs],
        out_window[:runs],
        out_first[:runs],
        out_last[:runs],
        out_group[:runs],
    )
