"""One alarm state per subject from a measure per window: threshold, persistence, hysteresis.

An alarm is raised when the measure is beyond ``raise_at`` in at least ``m`` of the last ``n``
windows of event time, the current one included, and cleared when it is back beyond ``clear_at``
in as many. Between the two thresholds, in windows without data and where the measure is NaN,
there is no evidence either way and the state stays (IEC 62682:2014, 7.4.6: dead-band and on/off
delay against chattering alarms).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sightline.records.holding import BoolArray, count_in_last, latched
from sightline.records.windows import FloatArray, IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmRule:
    """When an alarm is raised and cleared.

    Attributes:
        raise_at: threshold to raise, in the unit of the measure.
        clear_at: threshold to clear; on the quiet side of ``raise_at`` or equal to it.
        is_high: True when large values are bad.
        m: windows needed, 1 ≤ m ≤ n.
        n: windows looked at, ≤ 64.
    """

    raise_at: float
    clear_at: float
    is_high: bool
    m: int
    n: int

    def is_beyond(self, measure: FloatArray) -> BoolArray:
        """bool[...]: evidence to raise; False for NaN."""
        return measure > self.raise_at if self.is_high else measure < self.raise_at

    def is_back(self, measure: FloatArray) -> BoolArray:
        """bool[...]: evidence to clear; False for NaN."""
        return measure <= self.clear_at if self.is_high else measure >= self.clear_at


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmStates:
    """State of each window.

    Attributes:
        is_raised: bool[t], state after each target window.
        changed: bool[t], where it differs from the state before.
        agreeing: int64[t], windows among the last ``n`` that support the present state.
    """

    is_raised: BoolArray
    changed: BoolArray
    agreeing: IntArray


def alarm_states(
    rule: AlarmRule,
    *,
    key: npt.NDArray[np.integer],
    window: IntArray,
    measure: FloatArray,
    targets: IntArray,
    was_raised: BoolArray,
) -> AlarmStates:
    """States of the windows ``targets``, given the state before each subject's first target.

    Args:
        rule: thresholds and persistence.
        key: ids[r], ascending.
        window: int64[r], ascending within a key.
        measure: float64[r].
        targets: int64[t], positions to compute, ascending; of each key a run up to its end.
        was_raised: bool[t], state of the row before each target (read for the first of each key).
    """
    beyond = rule.is_beyond(measure)
    back = rule.is_back(measure)
    beyond_count = count_in_last(rule.n, key, window, beyond, targets)
    back_count = count_in_last(rule.n, key, window, back, targets)
    is_first = np.ones(len(targets), np.bool_)
    is_first[1:] = key[targets[1:]] != key[targets[:-1]]
    state = latched(
        beyond[targets] & (beyond_count >= rule.m),
        back[targets] & (back_count >= rule.m),
        is_first=is_first,
        was_raised=was_raised,
    )
    return AlarmStates(
        is_raised=state.is_raised,
        changed=state.changed,
        agreeing=np.where(state.is_raised, beyond_count, back_count),
    )
