"""What :mod:`.kernels` computes, in plain NumPy: slow, and the specification.

All series are float64[n] at even distances; NaN is "no value".
"""

from __future__ import annotations

import numpy as np

from sightline.records.windows import FloatArray, IntArray


def median_of_5(values: FloatArray) -> FloatArray:
    """float64[n]: median of the last five samples; NaN where one of them is none.

    A step passes it after three samples; one or two outliers in five do not pass.

    >>> median_of_5(np.array([0.0, 9, 0, 0, 1, 1, 1])).tolist()[4:]
    [0.0, 1.0, 1.0]
    """
    found = np.full(len(values), np.nan)
    if len(values) >= 5:
        found[4:] = np.median(np.lib.stride_tricks.sliding_window_view(values, 5), axis=1)
    return found


def jump(
    values: FloatArray, since: IntArray, noise: FloatArray, before: int, after: int
) -> FloatArray:
    """float64[n]: the step that the last samples show, in its own standard errors.

    Least squares over the last ``before + after`` samples: a line, and a step ``after`` samples
    before the end. The generalised likelihood ratio for a known place of the step (M. Basseville
    and I. V. Nikiforov, *Detection of Abrupt Changes*, 1993, section 2.4): a slope is no evidence.

    Args:
        values: float64[n].
        since: int64[n], samples since the last disturbance; windows that reach back behind it
            give NaN.
        noise: float64[n], standard deviation of white noise, above 0.
        before, after: samples.
    """
    width = before + after
    found = np.full(len(values), np.nan)
    time = np.arange(width) - (width - 1) / 2
    step = np.where(np.arange(width) >= before, 1.0, 0.0)
    step -= step.mean()
    step -= time * (step @ time) / (time @ time)
    for i in range(width - 1, len(values)):
        if since[i] >= width:
            window = values[i - width + 1 : i + 1]
            found[i] = (step @ window) / np.sqrt(step @ step) / noise[i]
    return found


def run_length(values: FloatArray) -> FloatArray:
    """float64[n]: how many samples up to here have had this value; 0 for none."""
    found = np.zeros(len(values))
    for i, value in enumerate(values):
        if not np.isnan(value):
            is_same = i > 0 and value == values[i - 1]
            found[i] = found[i - 1] + 1 if is_same else 1
    return found


def missing_length(values: FloatArray) -> FloatArray:
    """float64[n]: how many samples up to here have had no value."""
    found = np.zeros(len(values))
    for i, value in enumerate(values):
        if np.isnan(value):
            found[i] = found[i - 1] + 1 if i else 1
    return found


def moving_mean(values: FloatArray, width: int) -> FloatArray:
    """float64[n]: mean of the last ``width`` samples; NaN where one of them is none."""
    found = np.full(len(values), np.nan)
    for i in range(width - 1, len(values)):
        found[i] = values[i - width + 1 : i + 1].mean()
    return found


def local_noise(values: FloatArray, usual: float, width: int, least: float) -> FloatArray:
    """float64[n]: noise from differences of neighbours, forgetting with ``width`` samples.

    No single difference counts for more than four times the noise, so steps hardly move it.

    Args:
        values: float64[n].
        usual: standard deviation to begin with, above 0.
        width: samples of memory.
        least: the estimate is no less than this share of ``usual``.
    """
    found = np.empty(len(values))
    variance = usual**2
    for i in range(len(values)):
        gap = values[i] - values[i - 1] if i else np.nan
        if not np.isnan(gap):
            variance += (min(gap * gap / 2, 16 * variance) - variance) / width
        found[i] = max(np.sqrt(variance), least * usual)
    return found
