"""Conditions that must hold for a while before they count, and must be gone for a while to end.

One idea under every "for a while": remember since when a condition has been so at *every* look,
and act when that is long enough. It begins anew after a look at which it was not so; a look at
which nothing could be measured changes nothing. The same in windows: in m of the last n.

Used for the health of cameras, likely conflicts, the calm of a machine and alarms. Two things
that sound alike are others. A standing condition (``decide.standing``) is counted gone from the
last look at which it was so. And what holds back repeats of a message (``told`` in
``perceive.normal``, the alert desk) is a pause *after* an event: nothing has to last for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sightline.records.windows import IntArray

NOT_SO_NS = -1
"""Since when a condition is so that is not; event times are at least 0."""

BoolArray = npt.NDArray[np.bool_]


def so_since(before_ns: int | None, is_so: bool, at_ns: int) -> int | None:
    """Since when a condition has been so at every look; None while it is not.

    Args:
        before_ns: the same after the look before.
        is_so: at this look.
        at_ns: time of this look.

    >>> so_since(None, True, 5), so_since(5, True, 9), so_since(5, False, 9)
    (5, 5, None)
    """
    if not is_so:
        return None
    return at_ns if before_ns is None else before_ns


def all_so_since(before_ns: IntArray, is_so: BoolArray, at_ns: int) -> IntArray:
    """:func:`so_since` of many conditions: int64[...], NOT_SO_NS while one is not.

    >>> all_so_since(np.array([-1, 5, 5]), np.array([True, True, False]), 9).tolist()
    [9, 5, -1]
    """
    since = np.where(before_ns == NOT_SO_NS, at_ns, before_ns)
    found: IntArray = np.where(is_so, since, NOT_SO_NS)
    return found


class Holding:
    """Begins each of n conditions that has held for ``begin_ns``, ends what was gone ``end_ns``.

    Args:
        begin_ns, end_ns: int64[n]; 0 follows at once.

    >>> holding = Holding(begin_ns=np.array([10]), end_ns=np.array([10]))
    >>> [bool(holding.update(np.array([True]), np.array([True]), at)[0]) for at in (5, 9, 15)]
    [False, False, True]
    """

    def __init__(self, *, begin_ns: IntArray, end_ns: IntArray) -> None:
        self._begin_ns = np.asarray(begin_ns, np.int64)
        self._end_ns = np.asarray(end_ns, np.int64)
        self._is_raised: BoolArray = np.zeros(len(self._begin_ns), np.bool_)
        self._since_ns: IntArray = np.full(len(self._begin_ns), NOT_SO_NS, np.int64)

    def update(self, holds: BoolArray, is_measured: BoolArray, at_ns: int) -> BoolArray:
        """Take the conditions at ``at_ns``.

        Args:
            holds: bool[n], whether each condition holds; meaningless where not measured.
            is_measured: bool[n]; what could not be measured leaves a condition, and the time since
                which it changes, as it was.
            at_ns: UTC ns, at least 0 and not falling.

        Returns:
            bool[n], which conditions stand now.
        """
        differs = is_measured & (holds != self._is_raised)
        since = np.where(is_measured, all_so_since(self._since_ns, differs, at_ns), self._since_ns)
        needed_ns = np.where(self._is_raised, self._end_ns, self._begin_ns)
        flips = differs & (at_ns - since >= needed_ns)
        self._is_raised = self._is_raised ^ flips
        self._since_ns = np.where(flips, NOT_SO_NS, since)
        return self._is_raised

    def clear(self) -> None:
        """Nothing stands any more."""
        self._is_raised = np.zeros_like(self._is_raised)
        self._since_ns = np.full_like(self._since_ns, NOT_SO_NS)

    def snapshot(self) -> dict[str, npt.NDArray[np.generic]]:
        """State as arrays."""
        return {"is_raised": self._is_raised.copy(), "since_ns": self._since_ns.copy()}

    def restore(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Inverse of :meth:`snapshot`."""
        self._is_raised = arrays["is_raised"].astype(np.bool_)
        self._since_ns = arrays["since_ns"].astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Latched:
    """States of windows, bool[t] each: after the window, and whether that differs from before."""

    is_raised: BoolArray
    changed: BoolArray


def latched(
    begins: BoolArray, ends: BoolArray, *, is_first: BoolArray, was_raised: BoolArray
) -> Latched:
    """States of consecutive windows: raised by the last that begins, until one ends it.

    Args:
        begins, ends: bool[t], what each window says; neither: the state stays.
        is_first: bool[t], where another subject's windows begin.
        was_raised: bool[t], the state before; read at the first window of each subject.

    >>> yes, no = np.array([True, False, False, False]), np.array([False, False, False, True])
    >>> latched(yes, no, is_first=yes, was_raised=~yes).is_raised.tolist()
    [True, True, True, False]
    """
    # The state is that of the last row that said anything, or of the row before the run.
    speaks = begins | ends | is_first
    said = np.where(begins, True, np.where(ends, False, was_raised))
    last_speaker = np.maximum.accumulate(np.where(speaks, np.arange(len(said)), 0))
    is_raised: BoolArray = said[last_speaker]
    before = np.empty(len(said), np.bool_)
    before[1:] = is_raised[:-1]
    before[is_first] = was_raised[is_first]
    return Latched(is_raised=is_raised, changed=is_raised != before)


def count_in_last(
    n: int,
    key: npt.NDArray[np.integer],
    window: IntArray,
    flag: BoolArray,
    targets: IntArray,
) -> IntArray:
    """int64[t]: flagged rows of the same key within the last ``n`` window numbers.

    Args:
        n: windows looked at, the current one included.
        key: ids[r], ascending.
        window: int64[r], ascending within a key.
        flag: bool[r].
        targets: int64[t], rows to count at.
    """
    count = flag[targets].astype(np.int64)
    for back in range(1, n):
        at = targets - back
        safe = np.maximum(at, 0)
        near = (at >= 0) & (key[safe] == key[targets]) & (window[safe] > window[targets] - n)
        count += flag[safe] & near
    return count
