"""Compiled ridge regression on the past of a series. Specified in :mod:`.reference`.

Sums run one after the other, in the order of the rows: the same bits however a stream is cut.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from sightline.perceive.compiled import inner_loop, kernel
from sightline.records.windows import FloatArray

_V = types.Array(types.float64, 1, "C", readonly=True)
_M = types.Array(types.float64, 2, "C", readonly=True)
_F = types.float64
_I = types.int64
_B = types.boolean
LEAST_SCALE = 1e-3
"""Added to the scale of the errors, in deviations of the learning stretch."""
_ROUNDS = 3
_INTERCEPT_RIDGE = 1e-9


@inner_loop
def _solve(gram: FloatArray, moment: FloatArray, ridge: float) -> FloatArray:
    """Cholesky's decomposition; the last row, the constant, is hardly penalised."""
    d = len(moment)
    lower = np.zeros((d, d))
    for i in range(d):
        for j in range(i + 1):
            total = gram[i, j]
            if i == j:
                total += ridge if i < d - 1 else _INTERCEPT_RIDGE * ridge
            for k in range(j):
                total -= lower[i, k] * lower[j, k]
            if i == j:
                lower[i, i] = math.sqrt(max(total, 1e-12))
            else:
                lower[i, j] = total / lower[j, j]
    weights = np.zeros(d)
    for i in range(d):
        total = moment[i]
        for k in range(i):
            total -= lower[i, k] * weights[k]
        weights[i] = total / lower[i, i]
    for i in range(d - 1, -1, -1):
        total = weights[i]
        for k in range(i + 1, d):
            total -= lower[k, i] * weights[k]
        weights[i] = total / lower[i, i]
    return weights


@inner_loop
def _gather(  # noqa: PLR0917 - compiled functions take no keywords
    row: FloatArray, filled: FloatArray, at: int, inputs: FloatArray, of: int, lags: int, pool: int
) -> bool:
    """The terms of the forecast of ``filled[at]``; whether all of them are known."""
    is_known = True
    for k in range(lags):
        row[k] = filled[at - pool * (k + 1)]
        is_known = is_known and not math.isnan(row[k])
    for k in range(inputs.shape[1]):
        row[lags + k] = inputs[of, k]
    row[len(row) - 1] = 1.0
    return is_known


@inner_loop
def _dot(weights: FloatArray, row: FloatArray) -> float:
    total = 0.0
    for k in range(len(row)):
        total += weights[k] * row[k]
    return total


@inner_loop
def _add(
    gram: FloatArray, moment: FloatArray, row: FloatArray, target: float, weight: float
) -> None:
    for i in range(len(row)):
        for j in range(i + 1):
            gram[i, j] += weight * row[i] * row[j]
        moment[i] += weight * row[i] * target


@kernel(_V, _V, _M, _I, _I, _F, _F)
def learned(  # noqa: PLR0917 - compiled functions take no keywords
    target: FloatArray,
    filled: FloatArray,
    inputs: FloatArray,
    lags: int,
    pool: int,
    ridge: float,
    clip: float,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, float, float]:
    """:func:`.reference.learned`."""
    n = len(target)
    d = lags + inputs.shape[1] + 1
    row = np.zeros(d)
    gram = np.zeros((d, d))
    moment = np.zeros(d)
    weights = np.zeros(d)
    error = np.full(n, np.nan)
    scale = 0.0
    total = 0.0
    for turn in range(_ROUNDS):
        gram[:] = 0.0
        moment[:] = 0.0
        total = 0.0
        for t in range(lags * pool, n):
            if math.isnan(target[t]) or not _gather(row, filled, t, inputs, t, lags, pool):
                continue
            weight = 1.0
            if turn > 0 and error[t] > clip * scale:
                weight = clip * scale / error[t]
            _add(gram, moment, row, target[t], weight)
            total += 1.0
        weights = _solve(gram, moment, ridge * max(total, 1.0))
        size = 0.0
        for t in range(lags * pool, n):
            if not math.isnan(target[t]) and _gather(row, filled, t, inputs, t, lags, pool):
                error[t] = abs(target[t] - _dot(weights, row))
                size += error[t]
        size /= max(total, 1.0)
        square = 0.0
        for t in range(n):
            if not math.isnan(error[t]):
                square += min(error[t], 2.0 * clip * size) ** 2
        scale = math.sqrt(square / max(total, 1.0)) + LEAST_SCALE
    return error, weights, gram, moment, total, scale


@kernel(_V, _V, _M, _V, _M, _V, _V, _F, _F, _I, _I, _I, _I, _I, _F, _F, _F, _B)
def followed(  # noqa: PLR0917 - compiled functions take no keywords
    target: FloatArray,
    filled_before: FloatArray,
    inputs: FloatArray,
    waiting: FloatArray,
    gram_before: FloatArray,
    moment_before: FloatArray,
    weights_before: FloatArray,
    total: float,
    scale: float,
    pending: int,
    missing: int,
    lags: int,
    pool: int,
    refit_rows: int,
    ridge: float,
    clip: float,
    least_weight: float,
    learns: bool,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray, float, float, int, int]:
    """:func:`.reference.followed`."""
    n = len(target)
    delay = len(waiting)
    past = len(filled_before)
    filled = np.empty(past + n)
    filled[:past] = filled_before
    error = np.empty(delay + n)
    error[:delay] = waiting
    gram = gram_before.copy()
    moment = moment_before.copy()
    weights = weights_before.copy()
    row = np.zeros(len(moment))
    for t in range(n):
        found = math.nan
        if _gather(row, filled, past + t, inputs, delay + t, lags, pool):
            found = _dot(weights, row)
        error[delay + t] = abs(target[t] - found)
        filled[past + t] = target[t]
        missing = missing + 1 if math.isnan(target[t]) else 0
        if missing > 0 and missing <= lags * pool and not math.isnan(found):
            # Within what was just seen: a forecast of forecasts cannot run away.
            least = row[0]
            greatest = row[0]
            for k in range(1, lags):
                least = min(least, row[k])
                greatest = max(greatest, row[k])
            filled[past + t] = min(max(found, least), greatest)
        if not learns or math.isnan(error[t]):
            continue
        # Row t of `error` is that of `delay` rows ago.
        at = past + t - delay
        _gather(row, filled, at, inputs, t, lags, pool)
        most = clip * scale
        keep = 1.0 if total + 1.0 <= 1.0 / least_weight else 1.0 - least_weight
        gram *= keep
        moment *= keep
        total = total * keep + 1.0
        weight = min(1.0, most / error[t]) if error[t] > 0.0 else 1.0
        _add(gram, moment, row, filled[at], weight)
        square = (scale - LEAST_SCALE) ** 2
        square += (min(error[t], most) ** 2 - square) / total
        scale = math.sqrt(square) + LEAST_SCALE
        pending += 1
        if pending >= refit_rows:
            pending = 0
            weights = _solve(gram, moment, ridge * total)
    return (
        error[delay:].copy(),
        filled[past:].copy(),
        gram,
        moment,
        weights,
        total,
        scale,
        pending,
        missing,
    )
