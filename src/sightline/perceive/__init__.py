"""Perceive: turn records into windows, features and scores.

Everything here is a function of arrays and can be used from a notebook without the runtime.
"""

from sightline.perceive.canonical_order import canonical_order
from sightline.perceive.deviation import level_deviation, robust_deviation
from sightline.perceive.signal_quality import SignalQuality, signal_quality
from sightline.perceive.windows import (
    row_statistics,
    segment_expressions,
    segment_statistics,
    segments,
)

__all__ = [
    "SignalQuality",
    "canonical_order",
    "level_deviation",
    "robust_deviation",
    "row_statistics",
    "segment_expressions",
    "segment_statistics",
    "segments",
    "signal_quality",
]
