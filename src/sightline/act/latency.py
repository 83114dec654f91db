"""Latency percentiles in bounded memory: never means."""

from __future__ import annotations

import math

import numpy as np

_LOWEST_S = 1e-6
_HIGHEST_S = 1e5
_RATIO = 1.02  # buckets are this factor apart: a percentile is at most 1 % off


class LatencyRecorder:
    """A fixed log-spaced histogram; the worst value is exact.

    >>> recorder = LatencyRecorder()
    >>> for value in (0.1, 0.2, 0.3):
    ...     recorder.record(value)
    >>> recorder.summary()["worst"]
    0.3
    """

    def __init__(self) -> None:
        buckets = math.ceil(math.log(_HIGHEST_S / _LOWEST_S) / math.log(_RATIO)) + 2
        self._counts = np.zeros(buckets, np.int64)
        self._worst_s = 0.0

    @property
    def count(self) -> int:
        return int(self._counts.sum())

    def record(self, latency_s: float) -> None:
        """Count one latency; negative or NaN counts as zero (a clock that went back)."""
        value = latency_s if latency_s > _LOWEST_S else _LOWEST_S
        at = 1 + math.floor(math.log(min(value, _HIGHEST_S) / _LOWEST_S) / math.log(_RATIO))
        self._counts[at] += 1
        self._worst_s = max(self._worst_s, latency_s if latency_s > 0 else 0.0)

    def merge(self, other: LatencyRecorder) -> None:
        """Add what another recorder has seen."""
        self._counts += other._counts
        self._worst_s = max(self._worst_s, other._worst_s)

    def percentile_s(self, share: float) -> float:
        """The latency that ``share`` (0 to 1) of the values do not exceed; NaN without values."""
        if not self.count:
            return math.nan
        rank = max(math.ceil(share * self.count), 1)
        at = int(np.searchsorted(np.cumsum(self._counts), rank))
        middle = _LOWEST_S * _RATIO ** (at - 0.5)
        return min(middle, self._worst_s) if self._worst_s else 0.0

    def summary(self) -> dict[str, float]:
        """``count, p50, p95, p99, worst`` in s; only ``count`` when nothing was recorded."""
        if not self.count:
            return {"count": 0}
        return {
            "count": self.count,
            "p50": round(self.percentile_s(0.50), 6),
            "p95": round(self.percentile_s(0.95), 6),
            "p99": round(self.percentile_s(0.99), 6),
            "worst": round(self._worst_s, 6),
        }
