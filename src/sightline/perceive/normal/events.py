"""From scores to events: threshold, gap, where an event began, pruning.

Pruning compares an event with the strongest of the recording, or, as it goes, with the strongest
before it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sightline.errors import UsageError
from sightline.records.windows import FloatArray, IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRule:
    """When scores are an event of a recording.

    Attributes:
        threshold: a score at or above it is unusual. An absolute floor: a recording in which
            nothing happens has no events.
        gap_rows: unusual rows no further apart than this belong to one event,
        quiet_rows: unless the score was usual for so many rows in a row between them: then the
            second is another one.
        usual_below: scores below it are usual.
        lead_rows: an event begins so many rows before its score first left what is usual, and no
            more than ``gap_rows`` before the threshold: a window is looked at some rows after the
            sample that made it unusual. 15 is one less than the widest step between two looks.
        least_share: an event whose greatest score is a smaller share of the greatest of the
            recording is weaker than the rest and dropped (in the sense of Hundman et al. 2018,
            section 3.3: what is little beside the true anomalies is noise). 0 keeps all.
        version: of the rule.
    """

    threshold: float = 5.0
    gap_rows: int = 128
    quiet_rows: int = 16
    usual_below: float = 2.0
    lead_rows: int = 15
    least_share: float = 0.5
    version: str = "events/3"

    def __post_init__(self) -> None:
        is_sound = (
            self.threshold > 0
            and self.usual_below > 0
            and min(self.gap_rows, self.quiet_rows) >= 1
            and self.lead_rows >= 0
            and 0 <= self.least_share <= 1
        )
        if not is_sound:
            raise UsageError(
                expected="a threshold above 0, a gap of 1 row or more, a share from 0 to 1",
                got=str(self),
                where="EventRule",
                action="see its docstring",
            )


def score_events(score: FloatArray, rule: EventRule, *, as_it_goes: bool = False) -> IntArray:
    """int64[e, 2]: first and last row of each event, in order, both included; none overlap.

    Args:
        score: float64[n]; NaN is neither unusual nor usual.
        rule: see there.
        as_it_goes: an event is weak beside the strongest *before* it, so that nothing which comes
            later takes back what was told; otherwise beside the strongest of the recording.

    >>> score = np.array([0.0, 9.0, 0.0, 8.0, 0.0, 0.0, 0.0, 5.0, 2.0])
    >>> score_events(score, EventRule(gap_rows=2, lead_rows=1)).tolist()
    [[0, 3], [6, 7]]
    >>> score_events(score, EventRule(gap_rows=2, lead_rows=0, least_share=0.8)).tolist()
    [[1, 3]]
    >>> score_events(score, EventRule(quiet_rows=3, lead_rows=0)).tolist()
    [[1, 3], [7, 7]]
    >>> strong = EventRule(gap_rows=2, lead_rows=0, least_share=0.8)
    >>> weak_first = np.array([0.0, 6.0, 0.0, 0.0, 0.0, 9.0, 0.0])
    >>> score_events(weak_first, strong).tolist()
    [[5, 5]]
    >>> score_events(weak_first, strong, as_it_goes=True).tolist()
    [[1, 1], [5, 5]]
    """
    rows = np.flatnonzero(score >= rule.threshold)
    if not len(rows):
        return np.empty((0, 2), np.int64)
    is_far = np.diff(rows) > rule.gap_rows
    is_first = np.append(True, is_far | (np.diff(_quiet_stretches(score, rule)[rows]) > 0))
    start = np.flatnonzero(is_first)
    greatest = np.maximum.reduceat(score[rows], start)
    last = rows[np.append(start[1:], len(rows)) - 1]
    first = _departures(score, rows[start], rule)
    first = np.maximum(first, np.append(int(np.isfinite(score).argmax()), last[:-1] + 1))
    strongest = np.maximum.accumulate(greatest) if as_it_goes else greatest.max()
    kept: IntArray = np.stack([first, last], axis=1)[greatest >= rule.least_share * strongest]
    return kept.astype(np.int64)


def _quiet_stretches(score: FloatArray, rule: EventRule) -> IntArray:
    """int64[n]: how many stretches of ``quiet_rows`` usual rows there were until each row."""
    is_usual = score < rule.usual_below
    row = np.arange(len(score))
    lately = row - np.maximum.accumulate(np.where(is_usual, -1, row))
    found: IntArray = np.cumsum(lately == rule.quiet_rows)
    return found


def _departures(score: FloatArray, first: IntArray, rule: EventRule) -> IntArray:
    """int64[e]: where what led to rows that are unusual may have begun."""
    row = np.arange(len(score))
    before = np.maximum.accumulate(np.where(score >= rule.usual_below, -1, row))[first] + 1
    found: IntArray = np.maximum(before - rule.lead_rows, first - rule.gap_rows)
    return np.maximum(np.minimum(found, first), 0)
