"""How rare a score is, far beyond what counting can certify: block maxima and their tail.

A budget of one false alert in a thousand satellite-days cannot be met by counting ranks in a month
of data. Maxima over blocks (days) follow a generalised extreme value distribution under wide
conditions, also for samples that depend on each other within a block; its tail says what level is
reached once in so many blocks.

When not to use it: on blocks that are not alike (commissioning beside operations), or with so few
of them that the answer is nearly all extrapolation: ``least_blocks`` refuses those.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.special import ndtri

from sightline.errors import UsageError
from sightline.records.windows import FloatArray

LEAST_BLOCKS = 10
"""Fewer block maxima say too little about a tail: then nothing is known yet."""
_EULER_GAMMA = 0.5772156649015329
_GUMBEL_SKEWNESS = 0.1699250014423124
_SMALL_SHAPE = 1e-9  # below it the formulas of the GEV lose digits, and Gumbel's are as exact
_GREATEST_SHAPE = 0.5  # beyond it the variance is infinite and so is what one could promise


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtremeTail:
    """The distribution of the greatest score of a block.

    F(x) = exp(-(1 + ξ (x - μ) / σ)^(-1/ξ)), for ξ = 0 exp(-exp(-(x - μ) / σ)).

    Attributes:
        location: μ, in the unit of the score.
        scale: σ > 0.
        shape: ξ, 0 to 0.5. Never negative: a tail that ends is nothing one could know from data,
            and believing in it would certify anything.
        blocks: maxima it was fitted to.
    """

    location: float
    scale: float
    shape: float
    blocks: int

    @classmethod
    def fit(cls, maxima: FloatArray, *, least_scale: float, skewness: float | None = None) -> Self:
        """From one maximum per block, by L-moments.

        Hosking, Wallis and Wood (1985), "Estimation of the generalized extreme-value distribution
        by the method of probability-weighted moments", equations 14 and 15: closed form, and for
        small samples better than maximum likelihood.

        Args:
            maxima: float64[n], finite, n >= LEAST_BLOCKS.
            least_scale: floor of σ, > 0: of a score that never moved, what would count as a change.
            skewness: L-skewness to take the shape from, in place of that of the maxima; see
                :func:`pooled_skewness`.

        Raises:
            UsageError: too few maxima, or some that are not finite.

        >>> rng = np.random.default_rng(0)
        >>> tail = ExtremeTail.fit(rng.gumbel(5.0, 2.0, 2000), least_scale=1e-9)
        >>> abs(tail.location - 5.0) < 0.2, abs(tail.scale - 2.0) < 0.2, tail.shape < 0.05
        (True, True, True)
        """
        n = len(maxima)
        if n < LEAST_BLOCKS or not np.isfinite(maxima).all() or least_scale <= 0:
            raise UsageError(
                expected=f"{LEAST_BLOCKS} or more finite maxima, and a least scale above 0",
                got=f"{int(np.isfinite(maxima).sum())} finite of {n}, {least_scale}",
                where="ExtremeTail.fit",
                action="wait for more blocks of normal data",
            )
        b0, spread, own = _l_moments(maxima)
        if spread <= 0:
            return cls(location=b0, scale=least_scale, shape=0.0, blocks=n)
        # (2 b1 - b0) / (3 b2 - b0) of the paper is 2 / (3 + L-skewness).
        c = 2 / (3 + (own if skewness is None else skewness)) - math.log(2) / math.log(3)
        shape = min(max(-(7.8590 * c + 2.9554 * c * c), 0.0), _GREATEST_SHAPE)
        if shape < _SMALL_SHAPE:
            scale = max(spread / math.log(2), least_scale)
            return cls(location=b0 - _EULER_GAMMA * scale, scale=scale, shape=0.0, blocks=n)
        # With k = -ξ as in the paper: Γ(1 + k) = Γ(1 - ξ).
        gamma = math.gamma(1 - shape)
        scale = max(spread * -shape / (gamma * (1 - 2**shape)), least_scale)
        return cls(location=b0 + scale * (1 - gamma) / shape, scale=scale, shape=shape, blocks=n)

    def probability_above(self, score: FloatArray) -> FloatArray:
        """float64[n]: how likely a block has a greater maximum; NaN where the score is NaN."""
        reduced = (np.asarray(score, np.float64) - self.location) / self.scale
        if self.shape < _SMALL_SHAPE:
            rate = np.exp(-np.maximum(reduced, -700.0))
        else:
            # Below its lower end, which a shape above 0 has, every block has a greater one.
            beyond = np.maximum(self.shape * reduced, math.nextafter(-1.0, 0.0))
            rate = np.exp(np.minimum(-np.log1p(beyond) / self.shape, 700.0))
        found: FloatArray = -np.expm1(-rate)
        return found

    def level(self, per_block: float, *, confidence: float = 0.5) -> float:
        """The score that is passed in a share ``per_block`` of the blocks.

        Args:
            per_block: 0 < probability < 1.
            confidence: that the share is no greater; 0.5 is the best estimate. More adds standard
                errors of a Gumbel quantile, variance σ²/n (1.1087 + 0.5140 y + 0.6079 y²) with y
                the reduced variate (Phien 1987, "A review of methods of parameter estimation for
                the extreme value type-1 distribution"); with heavier tails it is too small.

        Raises:
            UsageError: a share or a confidence outside (0, 1).

        >>> tail = ExtremeTail(location=5.0, scale=1.0, shape=0.0, blocks=100)
        >>> round(tail.level(1e-3), 2), round(tail.level(1e-3, confidence=0.95), 2)
        (11.91, 12.86)
        >>> tail.probability_above(np.array([tail.level(1e-6)])).round(9).tolist()
        [1e-06]
        """
        if not (0 < per_block < 1 and 0 < confidence < 1):
            raise UsageError(
                expected="a share and a confidence between 0 and 1",
                got=f"{per_block} and {confidence}",
                where="ExtremeTail.level",
                action="give the share of blocks in which a false alert is allowed",
            )
        rate = -math.log1p(-per_block)
        y = -math.log(rate)
        reduced = y if self.shape < _SMALL_SHAPE else math.expm1(self.shape * y) / self.shape
        variance = (1.1087 + 0.5140 * y + 0.6079 * y * y) / self.blocks
        error = float(ndtri(confidence)) * math.sqrt(max(variance, 0.0))
        return self.location + self.scale * (reduced + error)

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "location": self.location,
            "scale": self.scale,
            "shape": self.shape,
            "blocks": self.blocks,
        }

    @classmethod
    def from_mapping(cls, plain: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`as_mapping`.

        Raises:
            KeyError, TypeError, ValueError: if it is no tail.
        """
        return cls(
            location=float(plain["location"]),
            scale=float(plain["scale"]),
            shape=float(plain["shape"]),
            blocks=int(plain["blocks"]),
        )


def pooled_skewness(samples: Sequence[FloatArray]) -> float:
    """L-skewness of several kinds of maxima together, each counted by its length.

    Regional frequency analysis (J. R. M. Hosking and J. R. Wallis, *Regional Frequency Analysis*,
    1997, chapter 6): the shape of a tail wants far more data than its place and its scale, and
    sites that are alike but for those two lend each other theirs. 0.17 (Gumbel) where nothing
    moves.

    >>> rng = np.random.default_rng(0)
    >>> alike = [rng.gumbel(k, k, 4000) for k in (1.0, 5.0, 20.0)]
    >>> abs(pooled_skewness(alike) - 0.17) < 0.02
    True
    """
    total, weight = 0.0, 0
    for maxima in samples:
        if len(maxima) >= LEAST_BLOCKS:
            _, spread, skewness = _l_moments(maxima)
            if spread > 0:
                total += len(maxima) * skewness
                weight += len(maxima)
    return total / weight if weight else _GUMBEL_SKEWNESS


def _l_moments(values: FloatArray) -> tuple[float, float, float]:
    """Mean, L-scale and L-skewness (0 without a scale) of three values or more."""
    n = len(values)
    ordered = np.sort(values)
    rank = np.arange(1, n + 1)
    b0 = float(ordered.mean())
    b1 = float((ordered * (rank - 1)).sum() / (n * (n - 1)))
    b2 = float((ordered * (rank - 1) * (rank - 2)).sum() / (n * (n - 1) * (n - 2)))
    spread = 2 * b1 - b0
    return b0, spread, (6 * b2 - 6 * b1 + b0) / spread if spread > 0 else 0.0


def block_maxima(score: FloatArray, block: FloatArray) -> FloatArray:
    """float64[b]: the greatest finite score of each block that has one, in the order of blocks.

    Args:
        score: float64[n]; NaN where nothing was known.
        block: int64[n], which block (day) a score belongs to, ascending.

    >>> block_maxima(np.array([1.0, np.nan, 3.0, 2.0, np.nan]), np.array([0, 0, 1, 1, 2])).tolist()
    [1.0, 3.0]
    """
    is_known = np.isfinite(score)
    known, of_block = score[is_known], block[is_known]
    if not len(known):
        return np.empty(0)
    start = np.flatnonzero(np.r_[True, of_block[1:] != of_block[:-1]])
    found: FloatArray = np.maximum.reduceat(known, start)
    return found
