"""From the greatest statistics of healthy blocks to the level that is passed rarely enough."""

from __future__ import annotations

import math

import numpy as np

from sightline.perceive.normal.calibration import GUMBEL_SKEWNESS
from sightline.records.windows import FloatArray

_MOST_SHAPE = 0.3
_MARGIN = 2.0
_MOST_MARGIN = 6.0
"""Of squares, 2.4 of what they are squares of: some dozens of blocks say no more about a tail."""
_FEW_BLOCKS = 24.0
_LENT = 24.0
"""The scale of a series leans on its family's as if that were so many blocks."""


def tail_levels(maxima: FloatArray, share: float, *, least_blocks: int = 8) -> FloatArray:
    """The levels of a family of series: passed by a share of their healthy blocks.

    Maxima of blocks follow a generalised extreme value distribution. Each series has its place; its
    scale leans on that of the family, in parts of the place; the shape is the family's (regional
    frequency analysis: J. R. M. Hosking and J. R. Wallis, 1997, chapter 6) and never that of a tail
    that ends.

    Args:
        maxima: float64[series, blocks]; NaN where a block says nothing.
        share: of blocks, above 0 and below 1.
        least_blocks: a series with fewer known ones has no level yet.

    Returns:
        float64[series]; infinity where too few blocks are known. A level is at least
        twice the greatest maximum, and more where blocks are few (what comes once a day was
        hardly seen), and at most six times it.

    >>> rng = np.random.default_rng(0)
    >>> maxima = rng.exponential(1.0, (40, 200))
    >>> over = tail_levels(maxima, 1e-6) / maxima.max(axis=1)
    >>> bool((over >= 2).all()), bool((over < 6.01).all())
    (True, True)
    """
    count = np.isfinite(maxima).sum(axis=1)
    enough = count >= least_blocks
    found = np.full(len(maxima), np.inf)
    if not enough.any():
        return found
    first, second, third = l_moments(maxima[enough])
    n = count[enough]
    moved = second > 0
    skewness = (
        float((n * third / np.where(moved, second, 1))[moved].sum() / n[moved].sum())
        if moved.any()
        else GUMBEL_SKEWNESS
    )
    relative = second / np.maximum(np.abs(first), 1e-9)
    typical = float(np.median(relative))
    leaning = (n * relative + _LENT * max(typical, 0.02)) / (n + _LENT)
    second = leaning * np.maximum(np.abs(first), 1e-9)
    # (2 b1 - b0) / (3 b2 - b0) of Hosking, Wallis and Wood (1985) is 2 / (3 + L-skewness).
    c = 2 / (3 + skewness) - math.log(2) / math.log(3)
    shape = min(max(-(7.8590 * c + 2.9554 * c * c), 0.0), _MOST_SHAPE)
    y = -math.log(-math.log1p(-share))
    if shape < 1e-6:
        scale = second / math.log(2)
        found[enough] = first + scale * (y - 0.5772156649015329)
    else:
        gamma = math.gamma(1 - shape)
        scale = second * shape / (gamma * (2**shape - 1))
        found[enough] = first + scale * (math.expm1(shape * y) + 1 - gamma) / shape
    greatest = np.nanmax(maxima[enough], axis=1)
    least = greatest * _MARGIN * (1 + _FEW_BLOCKS / n)
    found[enough] = np.clip(found[enough], least, np.maximum(greatest * _MOST_MARGIN, least))
    return found


def l_moments(values: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Three L-moments of each row, of its finite values: float64[rows] each."""
    ordered = np.sort(values, axis=1)  # NaN comes last
    n = np.isfinite(values).sum(axis=1).astype(np.float64)
    rank = np.arange(values.shape[1])
    safe = np.nan_to_num(ordered)
    b0 = safe.sum(axis=1) / n
    b1 = (safe * rank).sum(axis=1) / (n * (n - 1))
    b2 = (safe * rank * (rank - 1)).sum(axis=1) / (n * (n - 1) * (n - 2))
    return b0, 2 * b1 - b0, 6 * b2 - 6 * b1 + b0
