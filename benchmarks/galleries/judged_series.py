"""One series with what is true of it, what was detected in it, and how the two match.

The rules of matching are those of :mod:`benchmarks.alert_scores.events`: a label is a *hit* when
a detected event shares a row with it, else a *miss*; an event that shares a row with no label is a
*false alarm*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from benchmarks.alert_scores import Intervals, TrueEvents
from benchmarks.alert_scores.events import match
from sightline.errors import UsageError
from sightline.records.detections import BoolArray
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray, IntArray


class Finding(StrEnum):
    """What can become of labels and events."""

    HIT = "hits"
    MISS = "misses"
    FALSE_ALARM = "false-alarms"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JudgedSeries:
    """A series, its labels, its detected events, and the verdict. Made by :meth:`of`.

    Attributes:
        name: unique within a gallery.
        category: that it is counted under.
        channels: float64[n] each, by name; NaN is missing.
        score: float64[n], 0 or more; NaN is unknown.
        threshold: of the score; infinity for none.
        labels: rows of labelled anomalies, both ends included.
        kinds: of each label; ``""`` where there are none.
        events: rows of what was detected, merged, by start, both ends included.
        episode: int64[m], which events are told as one.
        is_hit: bool[k], of each label.
        delay_rows: float64[k], from the beginning of a label to the first event in it, 0 for an
            event that began earlier; NaN for a miss.
        delay_s: float64[k], the same in seconds; NaN without times.
        is_true: bool[m], of each event: whether its episode shares a row with a label.
        learnt_rows: at the beginning, not scored.
        time_ns: int64[n], UTC ns, ascending; None where rows have no times.
    """

    name: str
    category: str
    channels: Mapping[str, FloatArray]
    score: FloatArray
    threshold: float
    labels: Intervals
    kinds: tuple[str, ...]
    events: Intervals
    episode: IntArray
    is_hit: BoolArray
    delay_rows: FloatArray
    delay_s: FloatArray
    is_true: BoolArray
    learnt_rows: int
    time_ns: IntArray | None

    @classmethod
    def of(
        cls,
        *,
        name: str,
        category: str,
        channels: Mapping[str, FloatArray],
        score: FloatArray,
        threshold: float,
        labels: Intervals,
        events: Intervals,
        kinds: Sequence[str] | None = None,
        episode_gap_rows: int = 0,
        learnt_rows: int = 0,
        time_ns: IntArray | None = None,
    ) -> JudgedSeries:
        """Match labels and events.

        Args:
            name, category, channels, score, threshold, learnt_rows, time_ns: see the class.
            labels, events: rows, both ends included.
            kinds: of the labels; default: none.
            episode_gap_rows: events that begin at most so many rows after the end of another are
                one episode with it, told once: true when any of its events is. 0: none are.

        Raises:
            UsageError: no channel, columns of unequal length, or rows beyond them.

        >>> found = JudgedSeries.of(name="a", category="b", channels={"v": np.zeros(90)},
        ...     score=np.zeros(90), threshold=4.0, labels=Intervals.of([(10, 20), (40, 50)]),
        ...     events=Intervals.of([(15, 16), (60, 61), (70, 71)]), episode_gap_rows=10)
        >>> found.hits, found.misses, found.false_alarms, found.delay_rows.tolist()
        (1, 1, 1, [5.0, nan])
        """
        n = len(score)
        lengths = {len(v) for v in channels.values()} | ({n} if time_ns is None else {len(time_ns)})
        last = max([-1, *labels.end_ns.tolist(), *events.end_ns.tolist()])
        if lengths != {n} or not channels or last >= n:
            raise UsageError(
                expected=f"channels and times of {n} rows, labels and events within them",
                got=f"{len(channels)} channels, lengths {sorted(lengths)}, a last row of {last}",
                where=f"judged series {name}",
                action="give the series that was scored",
            )
        found = match(TrueEvents.of(labels.as_pairs(), kinds), events)
        merged = found.alerts
        gap_rows = merged.start_ns[1:] - merged.end_ns[:-1]
        episode = np.zeros(len(merged), np.int64)
        episode[1:] = np.cumsum(gap_rows > episode_gap_rows)
        true_episodes = np.unique(episode[found.is_true])
        return cls(
            name=name,
            category=category,
            channels=channels,
            score=score,
            threshold=threshold,
            labels=labels,
            kinds=tuple(kinds) if kinds is not None else ("",) * len(labels),
            events=merged,
            episode=episode,
            is_hit=found.is_found,
            delay_rows=found.delay_ns,
            delay_s=_delay_s(labels, found.delay_ns, time_ns),
            is_true=np.isin(episode, true_episodes),
            learnt_rows=learnt_rows,
            time_ns=time_ns,
        )

    @property
    def hits(self) -> int:
        return int(self.is_hit.sum())

    @property
    def misses(self) -> int:
        return len(self.is_hit) - self.hits

    @property
    def true_episodes(self) -> int:
        """Events, those of an episode counted once, that belong to a label."""
        return len(np.unique(self.episode[self.is_true]))

    @property
    def false_alarms(self) -> int:
        """Events, those of an episode counted once, that belong to no label."""
        return len(np.unique(self.episode[~self.is_true]))

    @property
    def unseen_labels(self) -> int:
        """Labels that lie wholly within what was learnt from: nothing could find them."""
        return int((self.labels.end_ns < self.learnt_rows).sum())

    def count(self, finding: Finding) -> int:
        """How many there are of one finding."""
        return {
            Finding.HIT: self.hits,
            Finding.MISS: self.misses,
            Finding.FALSE_ALARM: self.false_alarms,
        }[finding]


def _delay_s(labels: Intervals, delay_rows: FloatArray, time_ns: IntArray | None) -> FloatArray:
    if time_ns is None:
        return np.full(len(labels), np.nan)
    known = np.isfinite(delay_rows)
    first = labels.start_ns[known] + delay_rows[known].astype(np.int64)
    found = np.full(len(labels), np.nan)
    found[known] = (time_ns[first] - time_ns[labels.start_ns[known]]) / NS_PER_S
    return found
