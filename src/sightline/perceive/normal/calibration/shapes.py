"""What maxima look like below the level at which they are held back: one row per shape.

The sample that is learnt from is cut off above at the level that one block in ``10**rarity``
passes. Its L-moments are those of a generalised extreme value distribution (GEV) that is cut off
there, so matching these, not those of the whole GEV, leaves no bias. And a shape cannot be read
off some dozens of maxima: the table has a row for each of some shapes, with what is needed to say
how likely a sample is under it, and what location and scale it would mean.
"""

from __future__ import annotations

import math

import numpy as np

from sightline.records.windows import FloatArray

SHAPES = tuple(i / 20 for i in range(11))
"""ξ, 0 to 0.5: never negative, and finite variance, as for :class:`..tail.ExtremeTail`."""
(
    SHAPE,
    CUT_L1,
    CUT_L2,
    CUT_L3,
    WHOLE_L1,
    WHOLE_L2,
    WHOLE_L3,
    VARIANCE,
    SLOPE_L1,
    SLOPE_L2,
    WIDENING,
) = range(11)
COLUMNS = 11
GUMBEL_SKEWNESS = 2 * math.log(3) / math.log(2) - 3
"""L-skewness of the Gumbel distribution, for maxima that say nothing about it."""

_LEAST_Y = -3.5  # of the Gumbel distribution a share of 4e-15 is below
_STEPS = 4096
_WIDENED_AT = math.log(1e4)


def shape_table(rarity: float) -> FloatArray:
    """float64[shapes, COLUMNS]; everything of the standard GEV, location 0 and scale 1.

    Args:
        rarity: maxima are held back above the level that a share of ``10**-rarity`` passes.

    Columns: SHAPE ξ. CUT_L1..3: first L-moments of what is below the level. WHOLE_L1..3: of
    everything. VARIANCE: n times that of the L-skewness of n maxima below the level. SLOPE_L1,
    SLOPE_L2: regression of the sample's first two L-moments on its L-skewness (Hosking 1990,
    "L-moments: analysis and estimation of distributions using linear combinations of order
    statistics", theorem 3, for the covariances; by their influence functions). WIDENING: n times
    what is added to ξ because the scale is not known either: for ξ = 0 and a scale with a variance
    of v / n the expected share above z is (1 + z v / n)^(-n / v), a GEV tail of shape v / n; for
    ξ > 0 the same to second order at the level passed once in 10^4 blocks.

    >>> table = shape_table(2.0)
    >>> table[0, [WHOLE_L1, WHOLE_L2]].round(4).tolist()  # Euler's constant, ln 2
    [0.5772, 0.6931]
    """
    kept = 1 - 10.0**-rarity
    edge = np.linspace(_LEAST_Y, -math.log(-math.log(kept)), _STEPS + 1)
    middle = (edge[1:] + edge[:-1]) / 2
    below = np.exp(-np.exp(-edge)) / kept
    share = np.diff(below)
    share /= share.sum()
    rank = np.exp(-np.exp(-middle)) / kept
    weights = np.stack([np.ones_like(rank), 2 * rank - 1, (6 * rank - 6) * rank + 1])
    table = np.empty((len(SHAPES), COLUMNS))
    for row, shape in zip(table, SHAPES, strict=True):
        x, x_edge = _quantile(middle, shape), _quantile(edge, shape)
        cut = (weights * x * share).sum(axis=1)
        influence = np.cumsum(weights * np.diff(x_edge), axis=1)
        influence -= (influence * share).sum(axis=1)[:, None]
        l1, l2, l3 = influence
        skewness = (l3 - cut[2] / cut[1] * l2) / cut[1]
        variance = float((skewness**2 * share).sum())
        slope1, slope2 = ((moment * skewness * share).sum() / variance for moment in (l1, l2))
        rest = float((((l2 - slope2 * skewness) / cut[1]) ** 2 * share).sum())
        row[SHAPE] = shape
        row[CUT_L1 : CUT_L3 + 1] = cut
        row[WHOLE_L1 : WHOLE_L3 + 1] = _whole(shape)
        row[VARIANCE], row[SLOPE_L1], row[SLOPE_L2] = variance, slope1, slope2
        row[WIDENING] = rest * _widening(shape)
    return table


def _quantile(y: FloatArray, shape: float) -> FloatArray:
    found: FloatArray = y if shape == 0 else np.expm1(shape * y) / shape
    return found


def _whole(shape: float) -> tuple[float, float, float]:
    """L-moments of the standard GEV (Hosking, Wallis and Wood 1985)."""
    if shape == 0:
        return 0.5772156649015329, math.log(2), math.log(2) * GUMBEL_SKEWNESS
    gamma = math.gamma(1 - shape)
    l2 = gamma * (2**shape - 1) / shape
    return (gamma - 1) / shape, l2, l2 * (2 * (3**shape - 1) / (2**shape - 1) - 3)


def _widening(shape: float) -> float:
    if shape == 0:
        return 1.0
    z = math.expm1(shape * _WIDENED_AT) / shape
    by_scale = 0.5 * (z / (1 + shape * z)) ** 2
    by_shape = math.log1p(shape * z) / shape**2 - z / (shape * (1 + shape * z))
    return by_scale / by_shape
