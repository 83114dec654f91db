"""What is new in each sample: what is left of an expectation, less what its own past lets expect.

What an expectation leaves is seldom white: it wanders, it swings between two temperatures, it sums
up. A step of a few sizes of noise is hidden in that, and yet is plain from one sample to the next.
An autoregression over means of the past, twice as long each (the newest row, two before it, four
before those, and so on), takes out what can be known a row ahead. A step that was added to a
channel leaves in it a known trace (1 at first, less as the past takes it in), and the sum along
that trace is the most that can be seen of it (a matched filter behind a whitening filter:
H. L. Van Trees, *Detection, Estimation, and Modulation Theory*, part I, 1968, section 4.3).
"""

from __future__ import annotations

import numpy as np
from numba import float64, int64

from sightline.perceive.compiled import kernel
from sightline.records.detections import BoolArray
from sightline.records.windows import FloatArray

LAGS = 8
REACH_ROWS = 1 << LAGS
"""The past of a row that matters to it."""
_ROUNDS = 3
_HUBER = 2.0
_RIDGE = 1e-4
_LEAST_SHARE = 0.4
_LATELY_ROWS = 16
_LATELY_KNOWN = 0.5
MEDIAN_S = 50.0
"""Outliers of a row or two are no news: a running median of about so long passes them over."""


def median_rows(step_s: float) -> int:
    """Rows of the running median: 3 or 5.

    >>> median_rows(60.0), median_rows(10.0)
    (3, 5)
    """
    return 5 if step_s * 5 <= MEDIAN_S else 3


@kernel(float64[:, ::1], int64, float64[:, ::1])
def _running_median(values: FloatArray, width: int, out: FloatArray) -> None:
    kept = np.empty(width)
    for c in range(values.shape[0]):
        for i in range(values.shape[1]):
            if np.isnan(values[c, i]):
                out[c, i] = np.nan
                continue
            n = 0
            for k in range(max(i - width + 1, 0), i + 1):
                v = values[c, k]
                if not np.isnan(v):
                    at = n
                    while at > 0 and kept[at - 1] > v:
                        kept[at] = kept[at - 1]
                        at -= 1
                    kept[at] = v
                    n += 1
            out[c, i] = kept[n // 2] if n % 2 else 0.5 * (kept[n // 2 - 1] + kept[n // 2])


def running_median(values: FloatArray, width: int) -> FloatArray:
    """float64[n, c]: the median of the last ``width`` rows; NaN where a row has no value.

    >>> running_median(np.array([[1.0], [9.0], [2.0], [2.0]]), 3).ravel().tolist()
    [1.0, 5.0, 2.0, 2.0]
    """
    turned = np.ascontiguousarray(values.T)
    out = np.empty_like(turned)
    _running_median(turned, width, out)
    return np.ascontiguousarray(out.T)


def lag_means(values: FloatArray) -> FloatArray:
    """float64[n, LAGS, c]: means over rows 1, 2 to 3, 4 to 7, ... before each.

    Args:
        values: float64[n, c], without NaN; before the first row all is as in the first.
    """
    n, c = values.shape
    before = np.concatenate([np.repeat(values[:1], REACH_ROWS, axis=0), values])
    total = np.concatenate([np.zeros((1, c)), np.cumsum(before, axis=0)])
    row = np.arange(n) + REACH_ROWS
    found = np.empty((n, LAGS, c))
    for lag in range(LAGS):
        near, width = row - (1 << lag) + 1, 1 << lag
        found[:, lag] = (total[near] - total[near - width]) / width
    return found


def own_autoregression(lags: FloatArray, target: FloatArray) -> FloatArray:
    """float64[LAGS, c]: how much each mean of the past counts.

    Args:
        lags: float64[n, LAGS, c], of :func:`lag_means`.
        target: float64[n, c]; NaN is unknown.
    """
    known = np.isfinite(target)
    x = lags.transpose(2, 1, 0)
    gram = x @ x.transpose(0, 2, 1)
    size = np.trace(gram, axis1=1, axis2=2) / LAGS
    gram[:, range(LAGS), range(LAGS)] += (_RIDGE * size + 1e-12 * len(target))[:, None]
    inverse = np.linalg.inv(gram)
    weights = np.zeros((target.shape[1], LAGS, 1))
    fitted = np.zeros_like(target)
    for round_ in range(_ROUNDS):
        left = np.where(known, target - fitted, 0.0)
        if round_:
            most = _HUBER * 1.4826 * np.median(np.abs(left[:: max(len(left) // 3000, 1)]), axis=0)
            most = np.maximum(most, np.sqrt((left**2).mean(axis=0)) * 0.5)
            left = np.clip(left, -most, most)
        weights += inverse @ (x @ left.T[:, :, None])
        fitted = (x.transpose(0, 2, 1) @ weights)[:, :, 0].T
    return np.ascontiguousarray(weights[:, :, 0].T)


def recently_known(is_known: BoolArray) -> BoolArray:
    """bool[n, c]: rows before which half of the last rows were known."""
    total = np.concatenate([np.zeros((1, is_known.shape[1])), np.cumsum(is_known, axis=0)])
    row = np.arange(len(is_known))
    count = total[row] - total[np.maximum(row - _LATELY_ROWS, 0)]
    found: BoolArray = count >= _LATELY_KNOWN * _LATELY_ROWS
    return found


def step_trace(weights: FloatArray, width: int) -> FloatArray:
    """float64[c, width]: what a step of 1 leaves, from its first row on.

    >>> step_trace(np.full((LAGS, 1), 0.125), 4).round(3).tolist()
    [[1.0, 0.875, 0.812, 0.75]]
    """
    since = np.arange(width)[:, None]
    lag = np.arange(LAGS)[None, :]
    share = np.clip((since - 2.0**lag + 1) / 2.0**lag, 0.0, 1.0)
    return np.ascontiguousarray((1.0 - share @ weights).T)


@kernel(float64[:, ::1], float64[:, ::1], float64, int64, float64[:, ::1])
def _along(new: FloatArray, trace: FloatArray, least: float, begin: int, out: FloatArray) -> None:
    width = trace.shape[1]
    for c in range(new.shape[0]):
        whole = 0.0
        for k in range(width):
            whole += trace[c, k] * trace[c, k]
        for i in range(begin, new.shape[1]):
            total, power = 0.0, 0.0
            first = i - width + 1
            for k in range(max(-first, 0), width):
                v = new[c, first + k]
                if not np.isnan(v):
                    total += trace[c, k] * v
                    power += trace[c, k] * trace[c, k]
            out[c, i] = total * total / power if power >= least * whole > 0 else np.nan


def squares_along(new: FloatArray, trace: FloatArray, *, begin: int = 0) -> FloatArray:
    """float64[n, c]: square of the sum along the trace, in that of its spread.

    Args:
        new: float64[n, c], innovations in their usual size; NaN is unknown.
        trace: float64[c, width].
        begin: rows before it are not asked for.

    Returns:
        NaN before ``begin`` and where less than 0.4 of the trace was seen.
    """
    turned = np.ascontiguousarray(new.T)
    out = np.full_like(turned, np.nan)
    _along(turned, trace, _LEAST_SHARE, begin, out)
    return np.ascontiguousarray(out.T)


@kernel(float64[:, ::1], int64, int64, int64, int64, int64, float64[:, ::1], float64[:, ::1])
def _ranked(  # noqa: PLR0917 - compiled functions take no keywords
    values: FloatArray,
    apart: int,
    count: int,
    rank: int,
    stride: int,
    begin: int,
    low_out: FloatArray,
    high_out: FloatArray,
) -> None:
    kept = np.empty(count)
    for c in range(values.shape[0]):
        low, high = np.nan, np.nan
        for i in range(max(begin - stride + 1, 0), values.shape[1]):
            if i % stride == 0:
                n = 0
                for k in range(count):
                    at_row = i - k * apart
                    if at_row < 0:
                        break
                    v = values[c, at_row]
                    if not np.isnan(v):
                        at = n
                        while at > 0 and kept[at - 1] > v:
                            kept[at] = kept[at - 1]
                            at -= 1
                        kept[at] = v
                        n += 1
                below = rank * n // count
                is_enough = 2 * n >= count
                low = kept[below] if is_enough else np.nan
                high = kept[n - 1 - below] if is_enough else np.nan
            low_out[c, i] = low
            high_out[c, i] = high


def _quantiles(
    values: FloatArray, *, apart: int, count: int, share: float, begin: int
) -> tuple[FloatArray, FloatArray]:
    """A lower and an upper quantile of the last rows, float64[n, c] each; see the two below."""
    turned = np.ascontiguousarray(values.T)
    low, high = np.full_like(turned, np.nan), np.full_like(turned, np.nan)
    stride = max(apart // 2, count // 16, 1)
    _ranked(turned, apart, count, int(share * count), stride, begin, low, high)
    low[:, :begin] = high[:, :begin] = np.nan
    return np.ascontiguousarray(low.T), np.ascontiguousarray(high.T)


def spread_squares(
    new: FloatArray, *, apart: int, count: int, share: float, begin: int = 0
) -> FloatArray:
    """float64[n, c]: square of half the distance between two quantiles of the last rows.

    Args:
        new: float64[n, c]; NaN is unknown.
        apart: every so many rows one counts.
        count: so many of them.
        share: of them that lie below the lower quantile, and above the upper one, below 0.5. What
            happens in fewer rows, such as the edge of a shadow, and what goes one way all the time,
            such as a channel that warms, raises nothing.
        begin: rows before it are not asked for.

    Returns:
        NaN before ``begin``, and where fewer than half of the rows are known.

    >>> swing = np.array([[3.0], [-3.0], [3.0], [-3.0], [3.0], [3.0], [3.0]])
    >>> spread_squares(swing, apart=1, count=4, share=0.25).ravel().tolist()
    [nan, 9.0, 9.0, 9.0, 9.0, 0.0, 0.0]
    """
    low, high = _quantiles(new, apart=apart, count=count, share=share, begin=begin)
    half = 0.5 * (high - low)
    found: FloatArray = half * half
    return found


def held_squares(
    left: FloatArray, *, apart: int, count: int, share: float, begin: int = 0
) -> FloatArray:
    """float64[n, c]: square of how far off all but a share of the last rows are, on one side.

    Args:
        left: float64[n, c]; NaN is unknown.
        apart: every so many rows one counts.
        count: so many of them.
        share: of them that need not be so far off, below 0.5: edges of shadows and what follows a
            switch within fewer rows raise nothing, however far off they are.
        begin: rows before it are not asked for.

    Returns:
        NaN before ``begin``, and where fewer than half of the rows are known.

    >>> level = np.array([[2.0], [-90.0], [3.0], [4.0], [80.0], [-5.0]])
    >>> held_squares(level, apart=1, count=4, share=0.25).ravel().tolist()
    [nan, 0.0, 0.0, 4.0, 9.0, 9.0]
    """
    low, high = _quantiles(left, apart=apart, count=count, share=share, begin=begin)
    found: FloatArray = np.maximum(np.maximum(low, -high), 0.0) ** 2
    return found
