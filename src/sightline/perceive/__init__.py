"""Perceive: turn records into windows, features and scores.

Everything here is a function of arrays and can be used from a notebook without the runtime.
"""

from sightline.perceive.deviation import level_deviation, robust_deviation
from sightline.perceive.signal_quality import median_in_windows, outage_rate
from sightline.perceive.windows import (
    canonical_order,
    row_statistics,
    segment_expressions,
    segment_statistics,
    segments,
)

__all__ = [
    "canonical_order",
    "level_deviation",
    "median_in_windows",
    "outage_rate",
    "robust_deviation",
    "row_statistics",
    "segment_expressions",
    "segment_statistics",
    "segments",
]
