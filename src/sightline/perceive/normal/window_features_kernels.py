"""Compiled statistics of windows that end at each sample.

Specified in :mod:`.window_features_reference`. A window of 2w samples is made of the two windows of
w before and after its middle, so each width costs one merge per sample, whatever the width, and
nothing accumulates from one sample to the next: a statistic depends on the samples of its window
alone, to the last bit, wherever a stream is cut. Means and squares are merged as in Chan, Golub
and LeVeque (1979), "Updating formulae and a pairwise algorithm for computing sample variances".
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from sightline.perceive.compiled import kernel
from sightline.records.windows import FloatArray, IntArray

_V = types.Array(types.float64, 1, "C", readonly=True)
_I = types.Array(types.int64, 1, "C", readonly=True)


@kernel(_V, types.int64, _I)
def window_features(values: FloatArray, first: int, widths: IntArray) -> FloatArray:
    """:func:`.window_features_reference.window_features`."""
    m = len(values)
    found = np.full((m - first, len(widths), 6), np.nan)
    known = np.zeros(m)
    mean = np.zeros(m)
    square = np.zeros(m)  # sum of squared deviations from the mean
    greatest = np.full(m, -math.inf)
    least = np.full(m, math.inf)
    steps = np.zeros(m)
    stepped = np.zeros(m)
    for t in range(m):
        if math.isfinite(values[t]):
            known[t] = 1.0
            mean[t] = greatest[t] = least[t] = values[t]
            if t > 0 and math.isfinite(values[t - 1]):
                steps[t] = abs(values[t] - values[t - 1])
                stepped[t] = 1.0
    half = 1
    place = 0
    while place < len(widths):
        width = 2 * half
        is_asked = widths[place] == width
        # Backwards, so that what a later window needs of an earlier one is still that of `half`.
        for t in range(m - 1, width - 2, -1):
            s = t - half
            rise = mean[t] - mean[s] if known[t] > 0.0 and known[s] > 0.0 else math.nan
            count = known[t] + known[s]
            if count > 0.0:
                gap = mean[t] - mean[s] if not math.isnan(rise) else 0.0
                square[t] += square[s] + gap * gap * known[t] * known[s] / count
                if known[t] == 0.0:
                    mean[t] = mean[s]
                elif known[s] > 0.0:
                    mean[t] -= gap * known[s] / count
            known[t] = count
            greatest[t] = max(greatest[t], greatest[s])
            least[t] = min(least[t], least[s])
            steps[t] += steps[s]
            stepped[t] += stepped[s]
            if is_asked and t >= first and 2 * count >= width:
                row = t - first
                found[row, place, 0] = mean[t]
                found[row, place, 1] = math.sqrt(square[t] / count)
                found[row, place, 2] = greatest[t]
                found[row, place, 3] = least[t]
                if stepped[t] > 0.0:
                    found[row, place, 4] = steps[t] / stepped[t]
                found[row, place, 5] = rise
        half = width
        if is_asked:
            place += 1
    return found
