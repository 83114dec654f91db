"""Logarithm and exponential with the same bits on every processor.

NumPy takes another implementation where the processor has wider registers, and they differ in the
last bit; a decision that is made again on another machine must not. Here are only sums, products,
quotients and exact scaling by powers of two, each rounded as IEEE 754 says. The error is a few
units in the last place of the result, and of 1 where the argument of the logarithm is near 0.

Series: log m = 2 artanh((m - 1) / (m + 1)) for m within a factor of sqrt(2) of 1, and the
exponential about 0 (Abramowitz and Stegun, 4.1.27 and 4.2.1).
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from sightline.perceive.compiled import inner_loop, kernel
from sightline.records.windows import FloatArray

_V = types.Array(types.float64, 1, "C", readonly=True)
_LOG_2 = 0.6931471805599453
_HALF_ROOT = 0.7071067811865476
_ARTANH_TERMS = 12  # (3 - 2 sqrt(2))^24 is below 2^-60
_EXP_TERMS = 15  # (log(2) / 2)^16 / 16! is below 2^-60
_MOST = 709.0  # beyond it the exponential has no number
_LEAST = -700.0  # below it the result is -1


@inner_loop
def log1p_of(x: float) -> float:
    """log(1 + x) of x > -1; NaN of NaN, infinity of infinity."""
    if not x < np.inf:
        return x
    m, e = math.frexp(1.0 + x)
    if m < _HALF_ROOT:
        m, e = 2.0 * m, e - 1
    s = (m - 1.0) / (m + 1.0)
    square = s * s
    total = 0.0
    for term in range(_ARTANH_TERMS, -1, -1):
        total = total * square + 1.0 / (2 * term + 1)
    return 2.0 * s * total + e * _LOG_2


@inner_loop
def expm1_of(x: float) -> float:
    """exp(x) - 1; NaN of NaN."""
    if not _LEAST < x < _MOST:
        return x if math.isnan(x) else (-1.0 if x < 0 else np.inf)
    k = math.floor(x / _LOG_2 + 0.5)
    r = x - k * _LOG_2
    # exp(r) - 1, summed from its smallest term.
    total = 0.0
    for term in range(_EXP_TERMS, 0, -1):
        total = (total + 1.0) * r / term
    scale = math.ldexp(1.0, int(k))
    found: float = scale * total + (scale - 1.0)
    return found


@kernel(_V)
def log1p(values: FloatArray) -> FloatArray:
    """float64[n]: log(1 + x) of each x > -1; NaN of NaN, infinity of infinity.

    >>> log1p(np.array([0.0, 1.0, 1e100])).round(12).tolist()
    [0.0, 0.69314718056, 230.258509299405]
    """
    found = np.empty(len(values))
    for i in range(len(values)):
        found[i] = log1p_of(values[i])
    return found


@kernel(_V)
def expm1(values: FloatArray) -> FloatArray:
    """float64[n]: exp(x) - 1 of each x; NaN of NaN.

    >>> expm1(np.array([0.0, 1.0])).round(12).tolist()
    [0.0, 1.718281828459]
    """
    found = np.empty(len(values))
    for i in range(len(values)):
        found[i] = expm1_of(values[i])
    return found
