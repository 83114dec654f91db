"""Event time of one stream in one partition: watermarks, lateness, idleness, settling.

Five rules, all functions of what is in the log:

1. A watermark belongs to a group and moves by that group's own data, held back by
   ``out_of_order_s``. No other group's data and no tick can move it.
2. A row is late only against its own group's watermark (beyond ``revision_allowance_s``) or when
   it is older than ``max_backlog_s``.
3. A tick may close windows *provisionally* for a group that is idle; that makes no row late.
4. A window is *settled*, and cannot be revised any more, once its end is behind the group's
   watermark by the allowance, or behind the tick by ``max_backlog_s``.
5. At the end of a finite stream everything is settled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

NEVER_NS = int(np.iinfo(np.int64).min) // 2
"""A time before all data; far enough from the edge that subtracting a bound cannot overflow."""
FOREVER_NS = int(np.iinfo(np.int64).max)
"""A time after all data; nothing is ever added to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeBounds:
    """The four numbers of a stream's event time, in ns.

    Attributes:
        out_of_order_ns: how far rows of one group may arrive out of order and still be on time.
        revision_allowance_ns: how long a closed window stays open to revision.
        max_backlog_ns: age, against the tick, beyond which even backlog is refused.
        idle_ns: a group without data for this long no longer holds back its windows.
    """

    out_of_order_ns: int
    revision_allowance_ns: int
    max_backlog_ns: int
    idle_ns: int


class StreamClock:
    """Watermarks of the groups of one stream; groups are dense ids 0, 1, 2, …

    >>> clock = StreamClock(TimeBounds(out_of_order_ns=5, revision_allowance_ns=10,
    ...                                max_backlog_ns=1000, idle_ns=50))
    >>> clock.resize(2)
    >>> clock.observe(np.array([0, 0, 1]), np.array([100, 90, 20]))
    >>> clock.watermark_ns.tolist()
    [95, 15]
    >>> clock.punctual(np.array([0, 0, 1]), np.array([85, 84, 20])).tolist()
    [True, False, True]
    """

    def __init__(self, bounds: TimeBounds) -> None:
        self.bounds = bounds
        self.tick_ns = NEVER_NS
        self.is_final = False
        self.newest_ns: IntArray = np.empty(0, np.int64)
        """int64[groups], newest event time seen of each group."""
        self.heard_ns: IntArray = np.empty(0, np.int64)
        """int64[groups], tick at or after which each group last delivered data."""

    def resize(self, groups: int) -> None:
        """Make room for ``groups`` groups; new ones have seen nothing."""
        missing = groups - len(self.newest_ns)
        if missing > 0:
            never = np.full(missing, NEVER_NS, np.int64)
            self.newest_ns = np.concatenate([self.newest_ns, never])
            self.heard_ns = np.concatenate([self.heard_ns, never])

    @property
    def watermark_ns(self) -> IntArray:
        """int64[groups], the time up to which each group is believed complete."""
        return self.newest_ns - self.bounds.out_of_order_ns

    @property
    def effective_ns(self) -> int:
        """The time up to which every punctual row has arrived, by the last tick."""
        if self.is_final:
            return self.tick_ns
        return self.tick_ns - self.bounds.out_of_order_ns

    @property
    def complete_ns(self) -> IntArray:
        """int64[groups]: windows ending at or before this may close (rules 1 and 3)."""
        if self.is_final:
            return np.full(len(self.newest_ns), FOREVER_NS, np.int64)
        idle = self.effective_ns - self.heard_ns >= self.bounds.idle_ns
        complete = np.where(
            idle, np.maximum(self.watermark_ns, self.effective_ns), self.watermark_ns
        )
        # What is too old to be accepted any more is complete by definition.
        return np.maximum(complete, self.tick_ns - self.bounds.max_backlog_ns)

    @property
    def settled_ns(self) -> IntArray:
        """int64[groups]: windows ending at or before this are settled (rules 4 and 5)."""
        if self.is_final:
            return np.full(len(self.newest_ns), FOREVER_NS, np.int64)
        by_watermark = self.watermark_ns - self.bounds.revision_allowance_ns
        return np.maximum(by_watermark, self.tick_ns - self.bounds.max_backlog_ns)

    def punctual(self, group: npt.NDArray[np.integer], time_ns: IntArray) -> BoolArray | None:
        """bool[n]: rows that are neither too old nor late; None when that is all of them.

        Late are those behind their own group's watermark by more than the allowance.
        """
        oldest_ns = self.tick_ns - self.bounds.max_backlog_ns
        allowed_ns = self.bounds.out_of_order_ns + self.bounds.revision_allowance_ns
        # The common case: two looks, no copy.
        if not len(time_ns) or time_ns.min() >= max(oldest_ns, self.newest_ns.max() - allowed_ns):
            return None
        found: BoolArray = time_ns >= np.maximum(self.newest_ns - allowed_ns, oldest_ns)[group]
        return None if found.all() else found

    def is_beyond_backlog(self, time_ns: IntArray) -> BoolArray:
        """bool[n]: rows older than ``max_backlog_s`` against the last tick."""
        old: BoolArray = time_ns < self.tick_ns - self.bounds.max_backlog_ns
        return old

    def observe(self, group: npt.NDArray[np.integer], time_ns: IntArray) -> None:
        """Move the watermarks of ``group`` (ids[n]) by rows at ``time_ns`` (int64[n])."""
        np.maximum.at(self.newest_ns, group, time_ns)
        # Data that came after the last tick was heard at that tick or later; taking the event
        # time as well keeps a group alive whose rows are ahead of the first tick.
        is_heard = np.zeros(len(self.newest_ns), np.bool_)
        is_heard[group] = True
        self.heard_ns[is_heard] = np.maximum(self.tick_ns, self.newest_ns[is_heard])

    def tick(self, tick_ns: int, *, final: bool) -> None:
        """Advance the tick; it never goes back.

        The final one is the end of all data in event time: no later time is known of.
        """
        self.tick_ns = tick_ns if final else max(self.tick_ns, tick_ns)
        self.is_final = self.is_final or final
