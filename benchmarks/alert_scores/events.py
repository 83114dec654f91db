"""Events as closed intervals of time, and which alerts belong to which.

The rules of matching, stated once:

1. An interval is closed: [start, end], both instants included. An event of one sample has
   start = end. Two intervals overlap when they share an instant (as in ESA-ADB).
2. A true event is one fault. It may be seen in several intervals (fragments, channels) under one
   id; it is *found* when any alert overlaps any of them, however little.
3. An alert that overlaps any interval of any true event is no false alert. One alert may find
   several true events.
4. Alerts that overlap or touch are first made one: nobody sees where the second began.
5. The delay of a found event is the start of the first alert that overlaps it minus the start of
   the event; an alert that began earlier and still lasts has the delay 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sightline.errors import UsageError
from sightline.records.windows import FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Intervals:
    """Closed intervals.

    Attributes:
        start_ns: int64[n], UTC ns (or any integer time, such as row numbers).
        end_ns: int64[n], not before ``start_ns``.

    Raises:
        UsageError: columns of unequal length, or an end before its start.

    >>> Intervals.of([(5, 9), (1, 2)]).merged().as_pairs()
    [(1, 2), (5, 9)]
    """

    start_ns: IntArray
    end_ns: IntArray

    def __post_init__(self) -> None:
        if len(self.start_ns) != len(self.end_ns) or np.any(self.end_ns < self.start_ns):
            raise UsageError(
                expected="as many ends as starts, none before its start",
                got=f"{len(self.start_ns)} starts, {len(self.end_ns)} ends",
                where="intervals",
                action="give one end to each start",
            )

    def __len__(self) -> int:
        return len(self.start_ns)

    @classmethod
    def of(cls, pairs: Sequence[tuple[int, int]]) -> Intervals:
        """From (start, end) pairs."""
        both = np.array(pairs, np.int64).reshape(-1, 2)
        return cls(both[:, 0].copy(), both[:, 1].copy())

    @classmethod
    def of_flags(cls, flag: BoolArray, time_ns: IntArray | None = None) -> Intervals:
        """Runs of True as intervals over ``time_ns`` (ascending), or over row numbers.

        >>> Intervals.of_flags(np.array([0, 1, 1, 0, 1], bool)).as_pairs()
        [(1, 2), (4, 4)]
        """
        edge = np.diff(np.concatenate([[False], flag, [False]]).astype(np.int8))
        first, last = np.flatnonzero(edge == 1), np.flatnonzero(edge == -1) - 1
        if time_ns is None:
            return cls(first.astype(np.int64), last.astype(np.int64))
        return cls(time_ns[first], time_ns[last])

    def as_pairs(self) -> list[tuple[int, int]]:
        return list(zip(self.start_ns.tolist(), self.end_ns.tolist(), strict=True))

    def merged(self) -> Intervals:
        """Sorted, those that share an instant made one."""
        order = np.argsort(self.start_ns, kind="stable")
        start, end = self.start_ns[order], np.maximum.accumulate(self.end_ns[order])
        begins = np.ones(len(start), np.bool_)
        begins[1:] = start[1:] > end[:-1]
        ends = np.ones(len(start), np.bool_)
        ends[:-1] = begins[1:]
        return Intervals(start[begins], end[ends])

    def duration_ns(self) -> IntArray:
        """int64[n], end minus start: an instant lasts 0."""
        return self.end_ns - self.start_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueEvents:
    """Faults, by id.

    Attributes:
        seen: all intervals of all events, r of them.
        event: int64[r], which event an interval belongs to, 0 to n-1, each at least once.
        kind: the kind of fault of each event, n of them; ``""`` where there are no kinds.
    """

    seen: Intervals
    event: IntArray
    kind: tuple[str, ...]

    def __post_init__(self) -> None:
        known = np.unique(self.event)
        if len(self.event) != len(self.seen) or not np.array_equal(
            known, np.arange(len(self.kind))
        ):
            raise UsageError(
                expected="an event from 0 to n-1 for each interval, and each event seen",
                got=f"{len(self.seen)} intervals of events {known[:5].tolist()}…, "
                f"{len(self.kind)} kinds",
                where="true events",
                action="number the events without gaps",
            )

    @classmethod
    def of(cls, pairs: Sequence[tuple[int, int]], kinds: Sequence[str] | None = None) -> TrueEvents:
        """Events of one interval each."""
        return cls(
            seen=Intervals.of(pairs),
            event=np.arange(len(pairs), dtype=np.int64),
            kind=tuple(kinds) if kinds is not None else ("",) * len(pairs),
        )

    def start_ns(self) -> IntArray:
        """int64[n], first instant of each event."""
        start = np.full(len(self.kind), np.iinfo(np.int64).max)
        np.minimum.at(start, self.event, self.seen.start_ns)
        return start


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """Which events were found, and which alerts belong to an event.

    Attributes:
        alerts: the merged alerts, m of them, by start.
        is_found: bool[n].
        delay_ns: float64[n], from the start of the event; NaN where it was not found.
        is_true: bool[m], overlaps some event.
        redundant: alerts of an interval beyond its first, over all intervals.
    """

    alerts: Intervals
    is_found: BoolArray
    delay_ns: FloatArray
    is_true: BoolArray
    redundant: int


def match(truth: TrueEvents, alerts: Intervals) -> Matching:
    """Apply the rules of this module.

    >>> found = match(TrueEvents.of([(10, 20), (40, 50)]), Intervals.of([(15, 16), (18, 30)]))
    >>> found.is_found.tolist(), found.delay_ns.tolist(), found.redundant
    ([True, False], [5.0, nan], 1)
    """
    merged = alerts.merged()
    # Merged alerts are disjoint and sorted: those that overlap an interval are a range of them.
    first = np.searchsorted(merged.end_ns, truth.seen.start_ns, side="left")
    past = np.searchsorted(merged.start_ns, truth.seen.end_ns, side="right")
    hits = past - first
    is_hit = hits > 0
    events = len(truth.kind)
    is_found = np.zeros(events, np.bool_)
    is_found[truth.event[is_hit]] = True

    delay = np.full(events, np.inf)
    start = truth.start_ns()[truth.event[is_hit]]
    alert_start = merged.start_ns[first[is_hit]]
    np.minimum.at(delay, truth.event[is_hit], np.maximum(alert_start - start, 0).astype(float))

    # An alert is true where some range of hits covers it.
    cover = np.zeros(len(merged) + 1, np.int64)
    np.add.at(cover, first[is_hit], 1)
    np.add.at(cover, past[is_hit], -1)
    return Matching(
        alerts=merged,
        is_found=is_found,
        delay_ns=np.where(is_found, delay, np.nan),
        is_true=np.cumsum(cover[:-1]) > 0,
        redundant=int(np.maximum(hits - 1, 0).sum()),
    )
