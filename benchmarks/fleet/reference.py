"""What :mod:`.kernels` computes, in plain NumPy: slow, and the specification.

All series are float64[n] at even distances; NaN is "no value".
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sightline.records.windows import FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]
_KNOWN_SHARE = 0.6


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


def running_median(values: FloatArray, width: int) -> FloatArray:
    """float64[n]: median of the last ``width`` samples, an odd number; NaN where one is none."""
    found = np.full(len(values), np.nan)
    for i in range(width - 1, len(values)):
        found[i] = np.median(values[i - width + 1 : i + 1])
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


def held_level(values: FloatArray, is_settling: BoolArray, width: int) -> FloatArray:
    """float64[n]: ``values``, and while settling the mean of the last ``width`` known before.

    Without so many known samples in a row (NaN begins anew) values stay as they are.
    """
    found = values.copy()
    known: list[float] = []
    for i, value in enumerate(values):
        if is_settling[i] and len(known) >= width:
            found[i] = np.mean(known[-width:])
        elif np.isnan(value):
            known = []
        else:
            known.append(value)
    return found


def known_mean(values: FloatArray, is_settling: BoolArray, width: int) -> FloatArray:
    """float64[n]: mean of the known, settled samples among the last ``width``.

    NaN where they are no more than six tenths of them.
    """
    found = np.full(len(values), np.nan)
    known = np.where(is_settling, np.nan, values)
    for i in range(width - 1, len(values)):
        window = known[i - width + 1 : i + 1]
        window = window[~np.isnan(window)]
        if len(window) > _KNOWN_SHARE * width:
            found[i] = window.mean()
    return found


def relaxed(
    time_s: FloatArray, at_s: FloatArray, goal: FloatArray, lag_s: FloatArray
) -> FloatArray:
    """float64[n]: a first-order lag towards a goal that is constant between switches.

    It stands at its goal at the first switch.

    Args:
        time_s: float64[n], ascending, from ``at_s[0]`` on.
        at_s: float64[k], switches, ascending.
        goal: float64[k], from each switch on.
        lag_s: float64[k], time constant from each switch on, above 0.
    """
    found = np.empty(len(time_s))
    start = goal[0]
    for k in range(len(at_s)):
        end = at_s[k + 1] if k + 1 < len(at_s) else np.inf
        within = (time_s >= at_s[k]) & (time_s < end)
        found[within] = goal[k] + (start - goal[k]) * np.exp(-(time_s[within] - at_s[k]) / lag_s[k])
        start = goal[k] + (start - goal[k]) * np.exp(-(end - at_s[k]) / lag_s[k])
    return found
