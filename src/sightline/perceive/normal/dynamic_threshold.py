"""A threshold that follows from the scores themselves, with a floor below which nothing is unusual.

K. Hundman et al., "Detecting Spacecraft Anomalies Using LSTMs and Nonparametric Dynamic
Thresholding", KDD 2018, sections 3.2 and 3.3: of the thresholds mean + z deviations the one is
taken that lowers mean and deviation of the rest most, for the rows and sequences it costs; then
sequences that are little beside the strongest are pruned. The floor is ours: without one, a
recording in which nothing happens has anomalies all the same.

For a whole recording: :func:`dynamic_threshold`, :func:`dynamic_events`. For a stream:
:class:`StreamThreshold`, which judges a row by those before it alone. What it cannot know: whether
something stronger is still to come, so that it does not prune.

When not to use it: on whole recordings whose scores are in deviations already and comparable
between series: a fixed threshold and a least share of the strongest (:class:`.EventRule`) are as
good there and simpler. In a stream, where nothing can be pruned, this does better than a fixed one
(ADR 0011).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sightline.errors import UsageError
from sightline.perceive.normal.score_events import EventRule, score_events
from sightline.records.detections import BoolArray
from sightline.records.windows import FloatArray, IntArray

MAX_WINDOW_ROWS = 1 << 16
"""Scores that a stream's threshold is taken from; more is a UsageError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicRule:
    """How a threshold is chosen.

    Attributes:
        floor: no threshold is lower, whatever the scores are.
        deviations: candidates z, in standard deviations above the mean of the scores.
        most_share: thresholds that call a greater share of the rows unusual are no candidates.
        gap_rows: unusual rows no further apart than this are one sequence.
        least_drop: p of the paper: going down the greatest scores of the sequences, the last
            step by at least this share divides what is kept from what is pruned. 0 keeps all.
        version: of the rule.
    """

    floor: float = 4.0
    deviations: tuple[float, ...] = (2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7, 8, 9, 10, 11, 12)
    most_share: float = 0.5
    gap_rows: int = 128
    least_drop: float = 0.13
    version: str = "dynamic/1"

    def __post_init__(self) -> None:
        is_sound = (
            self.floor > 0
            and len(self.deviations) > 0
            and min(self.deviations, default=0.0) > 0
            and 0 < self.most_share <= 1
            and self.gap_rows >= 1
            and 0 <= self.least_drop < 1
        )
        if not is_sound:
            raise UsageError(
                expected="a floor, deviations and a gap above 0, shares from 0 to 1",
                got=str(self),
                where="DynamicRule",
                action="see its docstring",
            )


def dynamic_threshold(score: FloatArray, rule: DynamicRule) -> float:
    """The threshold of a whole recording, at least ``rule.floor``.

    Args:
        score: float64[n], 0 or more; NaN is not unusual and not counted.
        rule: see there.

    >>> quiet = np.abs(np.sin(np.arange(500.0)))
    >>> dynamic_threshold(quiet, DynamicRule())
    4.0
    >>> loud = np.where(np.arange(500) // 10 == 20, 90.0, 10 * quiet)
    >>> 10 < dynamic_threshold(loud, DynamicRule()) <= 90
    True
    """
    known = np.where(np.isfinite(score), score, np.nan)
    finite = known[np.isfinite(known)]
    if not len(finite):
        return rule.floor
    mean, deviation = float(finite.mean()), float(finite.std())
    if not (mean > 0 and deviation > 0):
        return rule.floor
    best, found = 0.0, rule.floor
    for z in rule.deviations:
        at = mean + z * deviation
        below = finite[finite < at]
        unusual = len(finite) - len(below)
        if unusual == 0 or len(below) == 0 or unusual > rule.most_share * len(finite):
            continue
        sequences = len(score_events(known, _events_at(at, rule)))
        drop = (mean - float(below.mean())) / mean + (deviation - float(below.std())) / deviation
        worth = drop / (unusual + sequences**2)
        if worth > best:
            best, found = worth, at
    return max(found, rule.floor)


def dynamic_events(score: FloatArray, rule: DynamicRule) -> IntArray:
    """int64[e, 2]: first and last row of each sequence that is kept, in order, both included.

    >>> score = np.zeros(3000)
    >>> score[[500, 1500, 2500]] = 90.0, 85.0, 9.0
    >>> dynamic_events(score, DynamicRule()).tolist()
    [[500, 500], [1500, 1500]]
    """
    known = np.where(np.isfinite(score), score, np.nan)
    threshold = dynamic_threshold(known, rule)
    events = score_events(known, _events_at(threshold, rule))
    if not len(events) or rule.least_drop == 0:
        return events
    greatest = np.array([float(np.nanmax(known[a : b + 1])) for a, b in events])
    inside = np.zeros(len(known), np.bool_)
    for first, last in events:
        inside[first : last + 1] = True
    rest = known[~inside & np.isfinite(known)]
    order = np.argsort(-greatest, kind="stable")
    steps = np.append(greatest[order], rest.max() if len(rest) else 0.0)
    is_drop = (steps[:-1] - steps[1:]) / steps[:-1] >= rule.least_drop
    kept = int(np.flatnonzero(is_drop)[-1]) + 1 if is_drop.any() else 0
    found: IntArray = events[np.sort(order[:kept])]
    return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StreamThreshold:
    """A threshold from the scores so far; following a stream gives the next state.

    Attributes:
        rule: see there; nothing is pruned.
        window_rows: the scores it is taken from.
        step_rows: after so many rows it is taken again.
        least_rows: fewer scores before say nothing: the threshold is not known yet.
        rows: taken in.
        threshold: that holds; NaN while it is not known.
        recent: float64[up to window_rows], the last scores.

    >>> stream = StreamThreshold(rule=DynamicRule(), least_rows=64)
    >>> score = np.append(np.abs(np.sin(np.arange(300.0))), 50.0)
    >>> threshold, unusual, stream = stream.follow(score)
    >>> bool(np.isnan(threshold[:64]).all()), np.flatnonzero(unusual).tolist()
    (True, [300])
    """

    rule: DynamicRule
    window_rows: int = 2048
    step_rows: int = 64
    least_rows: int = 256
    rows: int = 0
    threshold: float = float("nan")
    recent: FloatArray | None = None

    def __post_init__(self) -> None:
        if not (1 <= self.least_rows <= self.window_rows <= MAX_WINDOW_ROWS and self.step_rows > 0):
            raise UsageError(
                expected=f"least_rows <= window_rows <= {MAX_WINDOW_ROWS}, steps above 0",
                got=f"{self.least_rows}, {self.window_rows}, {self.step_rows}",
                where="StreamThreshold",
                action="see its docstring",
            )

    def follow(self, score: FloatArray) -> tuple[FloatArray, BoolArray, StreamThreshold]:
        """Judge the rows that come next, each by scores of rows before it alone.

        Cutting a stream into several calls changes nothing.

        Args:
            score: float64[n]; NaN is not unusual.

        Returns:
            float64[n], the threshold of each row, NaN where it is not known yet; bool[n], whether
            the score is at or above it: False where it is not known, which is no "all is well";
            the state after the last row.
        """
        before = np.empty(0) if self.recent is None else self.recent
        joined = np.concatenate([before, np.asarray(score, np.float64)])
        found = np.empty(len(score))
        threshold = self.threshold
        at = 0
        while at < len(score):
            if (self.rows + at) % self.step_rows == 0:
                seen = joined[max(len(before) + at - self.window_rows, 0) : len(before) + at]
                is_enough = int(np.isfinite(seen).sum()) >= self.least_rows
                threshold = dynamic_threshold(seen, self.rule) if is_enough else float("nan")
            until = min(at + self.step_rows - (self.rows + at) % self.step_rows, len(score))
            found[at:until] = threshold
            at = until
        unusual: BoolArray = np.asarray(score) >= found
        after = replace(
            self,
            rows=self.rows + len(score),
            threshold=threshold,
            recent=joined[-self.window_rows :],
        )
        return found, unusual, after


def _events_at(threshold: float, rule: DynamicRule) -> EventRule:
    return EventRule(threshold=threshold, gap_rows=rule.gap_rows, least_share=0.0)
