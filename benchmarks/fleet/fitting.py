"""Least squares that a few wrong samples do not move."""

from __future__ import annotations

import numpy as np

from sightline.records.windows import FloatArray, IntArray

_GOLDEN = 0.6180339887
_HUBER = 2.5


def robust_fit(
    columns: FloatArray, values: FloatArray, *, rounds: int = 3, ridge: float = 1e-9
) -> FloatArray:
    """float64[k]: coefficients by iteratively reweighted least squares (Huber 1964, weights 1/|r|).

    Args:
        columns: float64[n, k].
        values: float64[n]; NaN rows are left out.
        rounds: of reweighting.
        ridge: share of the mean diagonal that is added to the diagonal.

    >>> x = np.column_stack([np.ones(50), np.arange(50.0)])
    >>> y = x @ [1.0, 2.0]; y[7] = 1e6
    >>> robust_fit(x, y, rounds=8).round(2).tolist()
    [1.0, 2.0]
    """
    known = np.isfinite(values)
    a, y = columns[known], values[known]
    weight = np.ones(len(y))
    found: FloatArray = np.zeros(columns.shape[1])
    for _ in range(rounds):
        weighted = a * weight[:, None]
        gram = a.T @ weighted
        gram[np.diag_indices_from(gram)] += ridge * np.trace(gram) / len(gram) + 1e-300
        found = np.asarray(np.linalg.solve(gram, weighted.T @ y), np.float64)
        residual = np.abs(y - a @ found)
        scale = 1.4826 * float(np.median(residual)) + 1e-12
        weight = 1 / np.maximum(1.0, residual / (_HUBER * scale))
    return found


def solved(columns: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Plain least squares by normal equations: coefficients and residuals (fit minus value)."""
    gram = columns.T @ columns
    gram[np.diag_indices_from(gram)] += 1e-9 * np.trace(gram) / len(gram) + 1e-300
    found = np.asarray(np.linalg.solve(gram, columns.T @ values), np.float64)
    return found, columns @ found - values


def scattered(count: int, step: int) -> IntArray:
    """int64[m]: one index in each ``step`` samples, at places that resonate with no period.

    Evenly thinned samples of a signal whose period is a multiple of the step repeat the same phases
    for ever.
    """
    block = np.arange(count // step - 1)
    found: IntArray = ((block + (block * _GOLDEN) % 1) * step).astype(np.int64)
    return found


def crossings(
    time_s: FloatArray, values: FloatArray, margin: float
) -> tuple[FloatArray, FloatArray]:
    """When a series rises and falls through 0, with hysteresis: float64[u], float64[d]."""
    state = np.where(values > margin, 1, np.where(values < -margin, 0, -1))
    last = np.maximum.accumulate(np.where(state >= 0, np.arange(len(values)), 0))
    change = np.diff(state[last])
    rise, fall = np.flatnonzero(change == 1), np.flatnonzero(change == -1)
    return (time_s[rise] + time_s[rise + 1]) / 2, (time_s[fall] + time_s[fall + 1]) / 2
