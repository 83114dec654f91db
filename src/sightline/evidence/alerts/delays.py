"""How late alerts come: median, 95th percentile and worst, never the mean."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayQuantiles:
    """Delays of the found events, by nearest rank: each is one that happened. NaN without any.

    Attributes:
        count: found events. The missed ones have no delay: read it beside the misses.
        p50_s, p95_s, worst_s: seconds.
    """

    count: int
    p50_s: float
    p95_s: float
    worst_s: float

    def as_mapping(self) -> dict[str, float | int | None]:
        """JSON-ready; NaN becomes null."""
        named = {"p50": self.p50_s, "p95": self.p95_s, "worst": self.worst_s}
        return {"count": self.count, **{k: None if math.isnan(v) else v for k, v in named.items()}}


def delay_quantiles(delay_ns: FloatArray) -> DelayQuantiles:
    """Of float64[n] in ns; NaN stands for an event that was not found.

    >>> delay_quantiles(np.array([1e9, 3e9, np.nan, 2e9])).as_mapping()
    {'count': 3, 'p50': 2.0, 'p95': 3.0, 'worst': 3.0}
    """
    known = delay_ns[np.isfinite(delay_ns)]
    if not len(known):
        return DelayQuantiles(count=0, p50_s=math.nan, p95_s=math.nan, worst_s=math.nan)
    p50, p95, worst = np.percentile(known, [50, 95, 100], method="inverted_cdf") / NS_PER_S
    return DelayQuantiles(
        count=len(known), p50_s=float(p50), p95_s=float(p95), worst_s=float(worst)
    )
