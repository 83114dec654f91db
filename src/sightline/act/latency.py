"""Latency percentiles in bounded memory. Never means: a mean hides the answer that came late."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

RELATIVE_ERROR = 0.01
"""Bound of a percentile's error, relative to the exact nearest-rank percentile."""

LOWEST_S = 1e-6
"""Below it a percentile is off by at most this much."""

HIGHEST_S = 1e5
"""Above it (28 h) percentiles say this value; the worst stays exact."""

# A bucket from b to b*ratio answers with its geometric middle, at most sqrt(ratio) from its edges;
# the small margin pays for rounding at the edges.
_LOG_RATIO = 2 * math.log1p(RELATIVE_ERROR * 0.999)
_BUCKETS = 1 + math.ceil(math.log(HIGHEST_S / LOWEST_S) / _LOG_RATIO)


class LatencyRecorder:
    """A fixed log-spaced histogram of 1,275 buckets with an exact worst value.

    Percentiles are nearest-rank: the smallest recorded value that at least the given share of all
    values do not exceed, within :data:`RELATIVE_ERROR`. Merging loses nothing, because all
    recorders have the same buckets. The idea is that of DDSketch (Masson, Rim, Lee; VLDB 2019),
    with a fixed range in place of collapsing buckets.

    >>> recorder = LatencyRecorder()
    >>> for latency_s in (0.1, 0.2, 0.3):
    ...     recorder.record(latency_s)
    >>> recorder.count, recorder.worst_s
    (3, 0.3)
    """

    def __init__(self) -> None:
        self._counts = np.zeros(_BUCKETS, np.int64)
        self._worst_s = 0.0
        self._total_ns = 0  # whole, so that the order of values cannot show

    @property
    def count(self) -> int:
        """Values recorded."""
        return int(self._counts.sum())

    @property
    def worst_s(self) -> float:
        """The largest value, exact; NaN without values."""
        return self._worst_s if self.count else math.nan

    def record(self, latency_s: float) -> None:
        """Count one latency, in s.

        Negative counts as zero (a clock went back). NaN counts as infinite: a latency that nobody
        could measure must not make the report look better.
        """
        value = math.inf if math.isnan(latency_s) else max(latency_s, 0.0)
        inside = min(max(value, LOWEST_S), HIGHEST_S)
        at = int(math.log(inside / LOWEST_S) / _LOG_RATIO)
        self._counts[min(at, _BUCKETS - 1)] += 1
        self._worst_s = max(self._worst_s, value)
        self._total_ns += round(min(value, HIGHEST_S) * 1e9)

    def record_all(self, latency_s: npt.ArrayLike) -> None:
        """Count an array of latencies, float64[n] in s, like :meth:`record` for each."""
        values = np.asarray(latency_s, np.float64).ravel()
        if not len(values):
            return
        values = np.maximum(np.where(np.isnan(values), np.inf, values), 0.0)
        inside = np.clip(values, LOWEST_S, HIGHEST_S)
        at = (np.log(inside / LOWEST_S) / _LOG_RATIO).astype(np.int64)
        self._counts += np.bincount(np.minimum(at, _BUCKETS - 1), minlength=_BUCKETS)
        self._worst_s = max(self._worst_s, float(values.max()))
        self._total_ns += int(np.rint(np.minimum(values, HIGHEST_S) * 1e9).sum())

    def merge(self, other: LatencyRecorder) -> None:
        """Count everything that ``other`` has counted."""
        self._counts += other._counts
        self._worst_s = max(self._worst_s, other._worst_s)
        self._total_ns += other._total_ns

    def percentile_s(self, share: float) -> float:
        """Nearest-rank percentile in s, for ``share`` from 0 to 1; NaN without values."""
        count = self.count
        if not count:
            return math.nan
        # A product that is whole but for rounding (0.55 * 100) must not fall into the next rank.
        rank = max(math.ceil(round(share * count, 6)), 1)
        if rank >= count:
            return self._worst_s
        at = int(np.searchsorted(np.cumsum(self._counts), rank))
        middle_s = LOWEST_S * math.exp((at + 0.5) * _LOG_RATIO)
        return min(middle_s, self._worst_s, HIGHEST_S)

    def summary(self) -> dict[str, float]:
        """``count``, ``p50``, ``p95``, ``p99``, ``worst`` and ``total`` in s; ``count`` when empty.

        The total is there to say what share of the work a stage is, not for a mean.
        """
        if not self.count:
            return {"count": 0}
        return {
            "count": self.count,
            "p50": self.percentile_s(0.5),
            "p95": self.percentile_s(0.95),
            "p99": self.percentile_s(0.99),
            "worst": self._worst_s,
            "total": self._total_ns / 1e9,
        }
