"""From the greatest statistic of healthy days to the level of each channel and test.

What was greatest on a few days is passed by the next day once in a while, and what is passed on
fleets that are healthy is passed by much: how often falls about as one over the level. So a level
is a fixed reserve over the greatest, in proportion to one over the budget. How calm a channel is
that was calm on few days is not known from itself: none is taken for calmer than the middle one of
its satellite.
"""

from __future__ import annotations

import numpy as np

from sightline.records.windows import FloatArray

_RESERVE, _RESERVE_BUDGET = 35.0, 0.02
"""Of squares, over the greatest, at that budget of false alerts per satellite-day."""
_LEAST, _MOST = 4.0, 350.0
"""A level is no closer to the greatest, nor farther from it, whatever the budget."""


def levels_above(greatest: FloatArray, budget: float) -> FloatArray:
    """Levels of statistics that are squares.

    Args:
        greatest: float64[..., c], of each channel on healthy days; NaN where it is not known.
        budget: false alerts per satellite-day, above 0.

    Returns:
        float64[..., c]; infinity where nothing is known.

    >>> levels_above(np.array([[1.0, 10.0, 30.0, np.nan]]), 0.02).tolist()
    [[350.0, 350.0, 1050.0, inf]]
    """
    reserve = np.clip(_RESERVE * _RESERVE_BUDGET / budget, _LEAST, _MOST)
    known = np.isfinite(greatest)
    none = ~known.any(axis=-1, keepdims=True)
    middle = np.nanmedian(np.where(none, 0.0, greatest), axis=-1, keepdims=True)
    found: FloatArray = np.where(known, reserve * np.fmax(greatest, middle), np.inf)
    return found
