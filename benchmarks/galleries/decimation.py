"""Long columns for narrow pictures: the least and the greatest of each stretch are kept."""

from __future__ import annotations

import numpy as np

from sightline.errors import UsageError
from sightline.records.windows import FloatArray, IntArray


def extreme_rows(values: FloatArray, *, stretches: int) -> IntArray:
    """Rows to draw a line through: of each stretch those of its least and greatest value.

    No spike is lost, however long the column. A stretch without any value keeps its first row, so
    that the gap stays open.

    Args:
        values: float64[n]; NaN is missing.
        stretches: >= 1, about the width of the picture in pixels.

    Returns:
        int64[m], ascending, m <= max(2 * stretches, 2); all rows if they are as few.

    Raises:
        UsageError: fewer than one stretch.

    >>> extreme_rows(np.array([0.0, 9.0, 0.0, 0.0, 0.0, -5.0, 0.0, 0.0]), stretches=2).tolist()
    [0, 1, 4, 5]
    """
    if stretches < 1:
        raise UsageError(
            expected="one stretch or more",
            got=str(stretches),
            where="extreme_rows",
            action="give the width of the picture in pixels",
        )
    n = len(values)
    if n <= 2 * stretches:
        return np.arange(n)
    start = np.linspace(0, n, stretches + 1).astype(np.int64)
    stretch = np.repeat(np.arange(stretches), np.diff(start))
    is_known = np.isfinite(values)
    chosen = [start[:-1]]  # what a stretch without any value keeps
    for limit, extreme in ((np.inf, np.minimum), (-np.inf, np.maximum)):
        best = extreme.reduceat(np.where(is_known, values, limit), start[:-1])
        rows = np.flatnonzero(is_known & (values == best[stretch]))
        _, first = np.unique(stretch[rows], return_index=True)
        chosen.append(rows[first])
    is_empty = np.bincount(stretch, weights=is_known, minlength=stretches) == 0
    chosen[0] = chosen[0][is_empty]
    return np.unique(np.concatenate(chosen))


def extreme_columns(values: FloatArray, *, stretches: int) -> FloatArray:
    """float64[d, <= stretches] of float64[d, n]: of each stretch the value farthest from 0.

    >>> extreme_columns(np.array([[0.0, -3.0, 1.0, 2.0]]), stretches=2).tolist()
    [[-3.0, 2.0]]
    """
    n = values.shape[1]
    if n <= stretches:
        return values
    start = np.linspace(0, n, stretches + 1).astype(np.int64)[:-1]
    high = np.fmax.reduceat(values, start, axis=1)
    low = np.fmin.reduceat(values, start, axis=1)
    found: FloatArray = np.where(-low > high, low, high)
    return found
