"""The plain specification of :mod:`.usual_distance_kernels`: the same, one row after the other."""

from __future__ import annotations

import math

import numpy as np

from sightline.records.windows import FloatArray


def left_out(vectors: FloatArray, exclude: int, step: int) -> FloatArray:
    """Distance of each vector to the nearest that is not of its own time.

    Args:
        vectors: float64[n, d], in order of time; rows with a NaN are near to nothing.
        exclude: rows nearer in time than this are passed over: windows that overlap are alike.
        step: only every so many-th row is compared with.

    Returns:
        float64[n]; NaN for rows with a NaN, or without any row to compare with.
    """
    found = np.full(len(vectors), np.nan)
    for i in range(len(vectors)):
        least = math.inf
        for j in range(0, len(vectors), step):
            if abs(i - j) >= exclude:
                square = ((vectors[i] - vectors[j]) ** 2).sum()
                least = min(least, square) if not math.isnan(square) else least
        if least < math.inf:
            found[i] = math.sqrt(least)
    return found


def standardised(  # noqa: PLR0917 - the arguments of the kernel
    distance: FloatArray,
    learnt: FloatArray,
    usual: tuple[int, float, float],
    clip: float,
    least: float,
    least_weight: float,
) -> tuple[FloatArray, tuple[int, float, float]]:
    """How many deviations each distance is beyond the usual, while the usual goes on.

    Args:
        distance: float64[n]; NaN scores NaN.
        learnt: float64[n], the distance that is learnt after each row; NaN for none.
        usual: how many were learnt, their mean and variance.
        clip: a distance counts at most as the mean and so many deviations.
        least: added to the deviation.
        least_weight: of one distance; until 1 / least_weight of them all count alike.

    Returns:
        float64[n]; the usual after the last row.
    """
    count, mean, variance = usual
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
    return found, (count, mean, variance)
