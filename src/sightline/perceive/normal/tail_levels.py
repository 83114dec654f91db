"""From the greatest statistic of healthy days to the level of each channel and test.

What was greatest on a few days is passed by the next day once in a while, and what is passed on
fleets that are healthy is passed by much. So a level is a fixed reserve over the greatest. Reserves
stand for the usual budget of false alerts; how they go with another one was measured. How calm a
channel is that was calm on few days is not known from itself: none is taken for calmer than the
middle one of its satellite.
"""

from __future__ import annotations

import numpy as np

from sightline.records.windows import FloatArray

_POWER = 0.5
"""False alerts fell about as the square of one over the level, where that was measured (ADR 52)."""
_MOST = 10.0
"""What a budget multiplies or divides a reserve by is no more."""


def levels_above(
    greatest: FloatArray, reserve: FloatArray, least: FloatArray, allowed: float
) -> FloatArray:
    """Levels of statistics that are squares.

    Args:
        greatest: float64[tests, c], of each channel on healthy days; NaN where it is not known.
        reserve: float64[tests], levels over the greatest at the usual budget of false alerts.
        least: float64[tests], what a level is at least at that budget, or at a greater one.
        allowed: the budget over the usual one, above 0.

    Returns:
        float64[tests, c]; infinity where nothing is known.

    >>> greatest = np.array([[1.0, 10.0, 30.0, np.nan]])
    >>> levels_above(greatest, np.array([30.0]), np.array([400.0]), 1.0).tolist()
    [[400.0, 400.0, 900.0, inf]]
    >>> levels_above(greatest, np.array([30.0]), np.array([400.0]), 0.25).tolist()
    [[800.0, 800.0, 1800.0, inf]]
    """
    more = float(np.clip(allowed**-_POWER, 1.0 / _MOST, _MOST))
    known = np.isfinite(greatest)
    none = ~known.any(axis=-1, keepdims=True)
    middle = np.nanmedian(np.where(none, 0.0, greatest), axis=-1, keepdims=True)
    above = more * reserve[:, None] * np.fmax(greatest, middle)
    found: FloatArray = np.maximum(np.where(known, above, np.inf), max(more, 1.0) * least[:, None])
    return found
