"""Compiled: what distances are usual. Specified in :mod:`.usual_distance_reference`."""

from __future__ import annotations

import math

import numpy as np
from numba import types

from sightline.perceive.compiled import kernel
from sightline.records.windows import FloatArray

_V = types.Array(types.float64, 1, "C", readonly=True)
_M = types.Array(types.float64, 2, "C", readonly=True)
_F = types.float64


@kernel(_M, types.int64, types.int64)
def left_out(vectors: FloatArray, exclude: int, step: int) -> FloatArray:
    """:func:`.usual_distance_reference.left_out`."""
    n, d = vectors.shape
    found = np.full(n, np.nan)
    for i in range(n):
        least = math.inf
        for j in range(0, n, step):
            if abs(i - j) < exclude:
                continue
            square = 0.0
            for axis in range(d):
                square += (vectors[i, axis] - vectors[j, axis]) ** 2
                if square >= least:
                    break
            least = min(least, square)
        if least < math.inf:
            found[i] = math.sqrt(least)
    return found


@kernel(_V, _V, types.int64, _F, _F, _F, _F, _F)
def standardised(  # noqa: PLR0917 - compiled functions take no keywords
    distance: FloatArray,
    learnt: FloatArray,
    count: int,
    mean: float,
    variance: float,
    clip: float,
    least: float,
    least_weight: float,
) -> tuple[FloatArray, int, float, float]:
    """:func:`.usual_distance_reference.standardised`."""
    found = np.full(len(distance), np.nan)
    for row in range(len(distance)):
        found[row] = (distance[row] - mean) / (math.sqrt(variance) + least)
        if math.isfinite(learnt[row]):
            value = min(learnt[row], mean + clip * (math.sqrt(variance) + least))
            count += 1
            weight = max(1.0 / count, least_weight)
            gap = value - mean
            mean += weight * gap
            variance += weight * (gap * (value - mean) - variance)
    return found, count, mean, variance
