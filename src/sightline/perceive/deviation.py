"""How far a value lies from its own recent past, in units of that past's spread.

The first member of "one idea of normal": features, a bounded memory of normal (here: the last h
windows of the same subject), a distance, a score. Both scorers are pure and have one signature, so
that the cheap one can stand in for the other when it is late or broken.

When not to use them: on a measure with a trend or a daily cycle longer than the history, whose
normal is not "about the same as lately"; and on counts near zero, whose spread collapses unless
``floor`` is set to the smallest change that matters.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sightline.errors import UsageError
from sightline.records.windows import FloatArray

MAD_TO_SIGMA = 1.4826
"""1 / Φ⁻¹(3/4): makes the median absolute deviation estimate σ of a normal distribution."""


def robust_deviation(
    history: FloatArray, current: FloatArray, *, floor: FloatArray | float, min_history: int
) -> FloatArray:
    """|x - median| / max(1.4826 · MAD, floor), the Hampel identifier.

    Up to half of the history may be arbitrarily wrong without moving the score far. Source:
    Hampel (1974), "The influence curve and its role in robust estimation"; Leys et al. (2013),
    "Detecting outliers: do not use standard deviation around the mean, use absolute deviation
    around the median", who suggest thresholds of 2.5 to 3.

    Args:
        history: float64[n, h], past values of each subject in any order; values that are not
            finite count as missing.
        current: float64[n], the values to score, in the same unit.
        floor: float64[n] or a number, > 0: the smallest spread that counts, in the same unit.
        min_history: finite past values needed, at least 1.

    Returns:
        float64[n], ≥ 0, in spreads. NaN where ``current`` is NaN or the history is too short.

    Raises:
        UsageError: if a floor is not positive or ``min_history`` is below 1.

    >>> past = np.array([[10.0, 11.0, 12.0, 13.0, 14.0]])
    >>> robust_deviation(past, np.array([12.0 + 3 * 1.4826]), floor=0.1, min_history=5).round(6)
    array([3.])
    """
    _check(floor, min_history)
    past = np.where(np.isfinite(history), history, np.nan)
    known = np.isfinite(past).sum(axis=1)
    median = _row_median(past, known)
    spread = MAD_TO_SIGMA * _row_median(np.abs(past - median[:, None]), known)
    score: FloatArray = np.abs(current - median) / np.maximum(spread, floor)
    score[known < min_history] = np.nan
    return score


def level_deviation(
    history: FloatArray, current: FloatArray, *, floor: FloatArray | float, min_history: int
) -> FloatArray:
    """|x - last finite value| / max(standard deviation, floor): cheap, and easily misled.

    A fallback: no sorting. One outlier in the history hides the next one, and a level that
    drifts slowly is never far from its last value.

    Args:
        history: float64[n, h], past values of each subject, oldest first; values that are not
            finite count as missing.
        current: float64[n], the values to score, in the same unit.
        floor: float64[n] or a number, > 0: the smallest spread that counts, in the same unit.
        min_history: finite past values needed, at least 1.

    Returns:
        float64[n], ≥ 0, in spreads. NaN where ``current`` is NaN or the history is too short.

    Raises:
        UsageError: if a floor is not positive or ``min_history`` is below 1.

    >>> past = np.array([[1.0, 3.0, 1.0, 3.0]])
    >>> level_deviation(past, np.array([6.0]), floor=0.1, min_history=2)
    array([3.])
    """
    _check(floor, min_history)
    is_known = np.isfinite(history)
    known = is_known.sum(axis=1)
    count = np.maximum(known, 1)
    mean = np.where(is_known, history, 0.0).sum(axis=1) / count
    distance = np.where(is_known, history - mean[:, None], 0.0)
    spread = np.sqrt((distance * distance).sum(axis=1) / count)
    h = history.shape[1]
    newest = h - 1 - np.argmax(is_known[:, ::-1], axis=1) if h else np.zeros(len(history), np.intp)
    last = history[np.arange(len(history)), newest] if h else np.full(len(history), np.nan)
    score: FloatArray = np.abs(current - last) / np.maximum(spread, floor)
    score[known < min_history] = np.nan
    return score


def _row_median(values: FloatArray, known: npt.NDArray[np.intp]) -> FloatArray:
    """Median of the first ``known`` values of each sorted row; NaN sorts last.

    Sorting short rows and picking the middle is several times faster than ``np.nanmedian``.
    """
    if not values.shape[1]:
        return np.full(len(values), np.nan)
    ascending = np.sort(values, axis=1)
    row = np.arange(len(values))
    upper = np.minimum(known // 2, values.shape[1] - 1)
    below = ascending[row, np.maximum((known - 1) // 2, 0)]
    median: FloatArray = below + (ascending[row, upper] - below) / 2
    return median


def _check(floor: FloatArray | float, min_history: int) -> None:
    if not np.all(np.asarray(floor) > 0):
        raise UsageError(
            expected="a positive floor",
            got=str(np.min(floor)),
            where="deviation",
            action="set it to the smallest change that matters, in the measure's unit",
        )
    if min_history < 1:
        raise UsageError(
            expected="min_history of at least 1",
            got=str(min_history),
            where="deviation",
            action="raise it; 20 is a fair start for a history of 60",
        )
