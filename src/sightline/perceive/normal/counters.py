"""Channels that only count: what they gain from row to row says more than what they read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sightline.records.detections import BoolArray
from sightline.records.windows import FloatArray

_LEAST_MOVES = 50
_LEAST_VALUES = 30
_ONE_WAY = 0.99
_NEARLY = 0.9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counters:
    """Which channels count.

    Attributes:
        direction: float64[c]: 1 counts up, -1 down, 0 is no counter.
        wraps_at: float64[c]: the least value (times the direction) from which a counter was seen to
            begin anew: from there on that is usual. Infinity where it never was.
    """

    direction: FloatArray
    wraps_at: FloatArray

    def rates(self, values: FloatArray) -> FloatArray:
        """float64[n, c]: counters as what they gain in a row; other channels as they are.

        Args:
            values: float64[n, c]; NaN is missing.

        After a gap it is the mean over the gap. NaN where a counter began anew, and in the first
        row.

        >>> counters = Counters(direction=np.array([1.0]), wraps_at=np.array([np.inf]))
        >>> gap = np.nan
        >>> counters.rates(np.array([[5.0], [7.0], [gap], [11.0], [0.0], [2.0]])).ravel().tolist()
        [nan, 2.0, nan, 2.0, nan, 2.0]
        """
        found = values.copy()
        for k in np.flatnonzero(self.direction):
            gain, at = self._gains(values[:, k], float(self.direction[k]))
            found[:, k] = np.nan
            rows = at[1:]
            forward = gain >= 0
            found[rows[forward], k] = gain[forward] / np.diff(at)[forward] * self.direction[k]
        return found

    def resets(self, values: FloatArray) -> BoolArray:
        """bool[n, c]: rows at which a counter began anew from where it never did.

        >>> counters = Counters(direction=np.array([1.0]), wraps_at=np.array([255.0]))
        >>> counters.resets(np.array([[250.0], [255.0], [2.0], [4.0], [0.0]])).ravel().tolist()
        [False, False, False, False, True]
        """
        found = np.zeros(values.shape, np.bool_)
        for k in np.flatnonzero(self.direction):
            gain, at = self._gains(values[:, k], float(self.direction[k]))
            before = values[at[:-1], k] * self.direction[k]
            found[at[1:], k] = (gain < 0) & (before < _NEARLY * self.wraps_at[k])
        return found

    @staticmethod
    def _gains(column: FloatArray, direction: float) -> tuple[FloatArray, np.ndarray]:
        at = np.flatnonzero(np.isfinite(column))
        return np.diff(column[at]) * direction, at


def learnt_counters(values: FloatArray) -> Counters:
    """Which channels count: nearly all their moves go one way, and they have many values.

    Args:
        values: float64[n, c]; NaN is missing.

    >>> rng = np.random.default_rng(0)
    >>> both = np.stack([np.cumsum(rng.poisson(3, 500)) % 1024, rng.normal(size=500)], axis=1)
    >>> learnt_counters(both.astype(float)).direction.tolist()
    [1.0, 0.0]
    """
    direction, wraps_at = np.zeros(values.shape[1]), np.full(values.shape[1], np.inf)
    for k in range(values.shape[1]):
        known = values[np.isfinite(values[:, k]), k]
        moves = np.diff(known)
        up, down = int((moves > 0).sum()), int((moves < 0).sum())
        if max(up, down) < max(_LEAST_MOVES, _ONE_WAY * (up + down)):
            continue
        if len(np.unique(known[:: max(len(known) // 1000, 1)])) < _LEAST_VALUES:
            continue
        direction[k] = 1.0 if up > down else -1.0
        back = moves * direction[k] < 0
        if back.sum() > 1:
            wraps_at[k] = float((known[:-1][back] * direction[k]).min())
    return Counters(direction=direction, wraps_at=wraps_at)
