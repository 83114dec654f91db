"""The plain specification of :mod:`.window_features_kernels`: each window for itself, in NumPy."""

from __future__ import annotations

import numpy as np

from sightline.records.windows import FloatArray, IntArray


def window_features(values: FloatArray, first: int, widths: IntArray) -> FloatArray:
    """Six statistics of the windows that end at each sample.

    Args:
        values: float64[m], in order of time; NaN is missing.
        first: the first sample to give features for.
        widths: int64[w], samples, each a power of two, 2 or more.

    Returns:
        float64[m - first, w, 6]: mean, standard deviation (of the samples, not of a population),
        greatest, least, mean absolute difference of neighbours (each belongs to the later one),
        and rise: mean of the second half less mean of the first. NaN where the window would begin
        before the first sample, or has fewer than half of its samples; a difference or a rise
        that has no sample on one side is NaN alone.
    """
    found = np.full((len(values) - first, len(widths), 6), np.nan)
    steps = np.full(len(values), np.nan)
    steps[1:] = np.abs(np.diff(values))
    for row in range(len(found)):
        for place, width in enumerate(widths):
            end = first + row + 1
            window = values[max(end - width, 0) : end]
            known = window[np.isfinite(window)]
            if end < width or 2 * len(known) < width:
                continue
            halves = [
                part[np.isfinite(part)] for part in (window[: width // 2], window[width // 2 :])
            ]
            step = steps[end - width : end]
            step = step[np.isfinite(step)]
            found[row, place] = (
                known.mean(),
                known.std(),
                known.max(),
                known.min(),
                step.mean() if len(step) else np.nan,
                halves[1].mean() - halves[0].mean() if all(map(len, halves)) else np.nan,
            )
    return found
