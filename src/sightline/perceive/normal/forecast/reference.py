"""The plain specification of :mod:`.kernels`: the same with NumPy, one row after the other."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sightline.perceive.normal.forecast.kernels import LEAST_SCALE
from sightline.records.windows import FloatArray

_ROUNDS = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fit:
    """A forecast, and what it was solved from.

    Attributes:
        weights: float64[d], of the lags, the nearest first, the inputs and the constant.
        gram, moment: float64[d, d] (lower triangle), float64[d], weighted sums over rows.
        total: rows in them.
        scale: deviation of the errors.
        pending: rows learnt since the weights were solved for.
        missing: samples missing in a row.
    """

    weights: FloatArray
    gram: FloatArray
    moment: FloatArray
    total: float
    scale: float
    pending: int = 0
    missing: int = 0


def solved(gram: FloatArray, moment: FloatArray, ridge: float) -> FloatArray:
    """(G + ridge I)^-1 m of the lower triangle G; the constant is hardly penalised."""
    whole = np.tril(gram) + np.tril(gram, -1).T
    penalty = np.full(len(moment), ridge)
    penalty[-1] *= 1e-9
    found: FloatArray = np.asarray(np.linalg.solve(whole + np.diag(penalty), moment), np.float64)
    return found


def terms(filled: FloatArray, at: int, inputs_row: FloatArray, lags: int, pool: int) -> FloatArray:
    """float64[d]: what ``filled[at]`` is forecast from."""
    return np.concatenate([filled[at - pool * np.arange(1, lags + 1)], inputs_row, [1.0]])


def learned(  # noqa: PLR0917 - the arguments of the kernel
    target: FloatArray,
    filled: FloatArray,
    inputs: FloatArray,
    lags: int,
    pool: int,
    ridge: float,
    clip: float,
) -> tuple[FloatArray, Fit]:
    """Ridge regression, three times, rows further off than ``clip`` deviations weighted down.

    Args:
        target: float64[n]; NaN is missing.
        filled: float64[n], what forecasts are made from.
        inputs: float64[n, e].
        lags, pool: values ``pool`` rows apart, the nearest one ``pool`` rows ago.
        ridge: a share of the number of rows.
        clip: see there.

    Returns:
        float64[n], sizes of the errors, NaN where something is missing; the fit.
    """
    rows = range(lags * pool, len(target))
    each = {t: terms(filled, t, inputs[t], lags, pool) for t in rows}
    each = {t: row for t, row in each.items() if np.isfinite([*row, target[t]]).all()}
    d = lags + inputs.shape[1] + 1
    error = np.full(len(target), np.nan)
    gram, moment, weights, scale = np.zeros((d, d)), np.zeros(d), np.zeros(d), 0.0
    total = float(len(each))
    for turn in range(_ROUNDS):
        gram, moment = np.zeros((d, d)), np.zeros(d)
        for t, row in each.items():
            weight = min(1.0, clip * scale / error[t]) if turn and error[t] > 0 else 1.0
            gram += weight * np.outer(row, row)
            moment += weight * row * target[t]
        weights = solved(gram, moment, ridge * max(total, 1.0))
        for t, row in each.items():
            error[t] = abs(target[t] - weights @ row)
        known = error[np.isfinite(error)]
        most = 2 * clip * known.sum() / max(total, 1.0)
        scale = np.sqrt((np.minimum(known, most) ** 2).sum() / max(total, 1.0)) + LEAST_SCALE
    return error, Fit(weights=weights, gram=gram, moment=moment, total=total, scale=float(scale))


def followed(  # noqa: PLR0917 - the arguments of the kernel
    target: FloatArray,
    filled_before: FloatArray,
    inputs: FloatArray,
    waiting: FloatArray,
    fit: Fit,
    lags: int,
    pool: int,
    refit_rows: int,
    ridge: float,
    clip: float,
    least_weight: float,
    learns: bool,
) -> tuple[FloatArray, FloatArray, Fit]:
    """Forecast row by row; learn each row when its delay is over.

    A missing value is taken to be what was forecast, within what its lags were, for as long as a
    forecast looks back; then nothing is known until that many values have come again.

    Args:
        target: float64[n]; NaN is missing.
        filled_before: float64[delay + lags * pool or more], the last ones.
        inputs: float64[delay + n, e], those of the waiting rows first.
        waiting: float64[delay], sizes of the errors of rows that are to be learnt; NaN for those
            that are not.
        fit: before.
        lags, pool, ridge, clip: as in :func:`learned`.
        refit_rows: rows learnt until the weights are solved for again.
        least_weight: of a row; until 1 / least_weight of them all count alike.
        learns: or only forecast.

    Returns:
        float64[n], sizes of the errors; float64[n], the values or what stands for them; the fit.
    """
    past, delay = len(filled_before), len(waiting)
    filled = np.concatenate([filled_before, np.full(len(target), np.nan)])
    error = np.concatenate([waiting, np.full(len(target), np.nan)])
    for t in range(len(target)):
        row = terms(filled, past + t, inputs[delay + t], lags, pool)
        forecast = fit.weights @ row
        error[delay + t] = abs(target[t] - forecast)
        filled[past + t] = target[t]
        missing = fit.missing + 1 if np.isnan(target[t]) else 0
        fit = replace(fit, missing=missing)
        if 0 < missing <= lags * pool and np.isfinite(forecast):
            filled[past + t] = np.clip(forecast, row[:lags].min(), row[:lags].max())
        if not learns or np.isnan(error[t]):
            continue
        at = past + t - delay
        row = terms(filled, at, inputs[t], lags, pool)
        most = clip * fit.scale
        keep = 1.0 if fit.total + 1 <= 1 / least_weight else 1.0 - least_weight
        total = fit.total * keep + 1
        weight = min(1.0, most / error[t]) if error[t] > 0 else 1.0
        square = (fit.scale - LEAST_SCALE) ** 2
        square += (min(error[t], most) ** 2 - square) / total
        fit = replace(
            fit,
            gram=keep * fit.gram + weight * np.outer(row, row),
            moment=keep * fit.moment + weight * row * filled[at],
            total=total,
            scale=float(np.sqrt(square)) + LEAST_SCALE,
            pending=fit.pending + 1,
        )
        if fit.pending >= refit_rows:
            weights = solved(fit.gram, fit.moment, ridge * fit.total)
            fit = replace(fit, weights=weights, pending=0)
    return error[delay:], filled[past:], fit
