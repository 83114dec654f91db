"""The specification of the calibration: one series in plain Python, slow.

What :mod:`sightline.perceive.normal.calibration` computes of many.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from sightline.perceive.normal.calibration import (
    CUT_L1,
    CUT_L3,
    GUMBEL_SKEWNESS,
    MAX_RARITY,
    MAX_SCORE,
    SHAPE,
    SLOPE_L1,
    SLOPE_L2,
    VARIANCE,
    WHOLE_L1,
    WHOLE_L3,
    WIDENING,
    CalibrationBank,
    CalibrationSettings,
    shape_table,
)
from sightline.records.windows import FloatArray

_FARTHEST = 2.0  # standard errors that a sample's L-skewness may pull location and scale


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtremeTail:
    """A generalised extreme value distribution with a shape above 0."""

    location: float
    scale: float
    shape: float

    def probability_above(self, score: FloatArray) -> FloatArray:
        """float64[n]: how likely a block has a greater maximum."""
        # Below its lower end, which a shape above 0 has, every block has a greater one.
        reduced = (score - self.location) / self.scale
        beyond = np.maximum(self.shape * reduced, math.nextafter(-1.0, 0.0))
        rate = np.exp(np.minimum(-np.log1p(beyond) / self.shape, 700.0))
        found: FloatArray = -np.expm1(-rate)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictiveTail:
    """The distribution of the next maximum: tails of several shapes, weighted.

    Attributes:
        l1, l2: first two sample L-moments of the maxima, the second at least the least scale.
        weights: of the tails, sum 1.
        tails: one per shape of the table.
    """

    l1: float
    l2: float
    weights: tuple[float, ...]
    tails: tuple[ExtremeTail, ...]

    @classmethod
    def fit(cls, maxima: FloatArray, *, whole: int, table: FloatArray, least_scale: float) -> Self:
        """From the maxima that were learnt.

        Under each shape the sample's L-skewness is normal about that of the shape (cut off where
        maxima are held back), which weighs the shapes: none is likelier than another beforehand.
        Location and scale follow from the first two L-moments, as they go with that L-skewness.

        Args:
            maxima: float64[n], n >= 10.
            whole: how many of them were learnt whatever they were.
            table: of :func:`.calibration.shape_table`.
            least_scale: floor of the second L-moment, > 0.
        """
        n = len(maxima)
        ordered, place = np.sort(maxima), np.arange(n)
        b0 = float(ordered.mean())
        b1 = float((ordered * place).sum() / (n * (n - 1)))
        b2 = float((ordered * place * (place - 1)).sum() / (n * (n - 1) * (n - 2)))
        l2, l3 = 2 * b1 - b0, 6 * b2 - 6 * b1 + b0
        skewness = l3 / l2 if l2 >= least_scale else GUMBEL_SKEWNESS
        l2 = max(l2, least_scale)
        log_weights, tails = [], []
        for row in table:
            expected = row[CUT_L1 : CUT_L3 + 1] * (1 - whole / n)
            expected += row[WHOLE_L1 : WHOLE_L3 + 1] * (whole / n)
            variance = row[VARIANCE] / n
            gap = skewness - expected[2] / expected[1]
            log_weights.append(-0.5 * (gap**2 / variance + math.log(variance)))
            pull = np.clip(gap, -_FARTHEST * variance**0.5, _FARTHEST * variance**0.5)
            scale = l2 / max(expected[1] + row[SLOPE_L2] * pull, expected[1] / 2)
            tails.append(
                ExtremeTail(
                    location=b0 - scale * (expected[0] + row[SLOPE_L1] * pull),
                    scale=scale,
                    shape=row[SHAPE] + row[WIDENING] / n,
                )
            )
        weights = np.exp(np.array(log_weights) - max(log_weights))
        return cls(
            l1=b0, l2=l2, weights=tuple((weights / weights.sum()).tolist()), tails=tuple(tails)
        )

    def rarity(self, score: FloatArray) -> FloatArray:
        """float64[n]: -log10 of the share of maxima at or above each score, 0 to MAX_RARITY."""
        above = np.zeros(len(score))
        for weight, tail in zip(self.weights, self.tails, strict=True):
            above += weight * tail.probability_above(score)
        found: FloatArray = -np.log10(np.clip(above, 10.0**-MAX_RARITY, 1.0))
        return found


def calibrated(scores: FloatArray, settings: CalibrationSettings) -> FloatArray:
    """float64[n]: the rarity of each score of one series.

    Args:
        scores: float64[n]; NaN where none is known.
        settings: of the calibration.

    >>> scores = np.random.default_rng(0).exponential(size=600)
    >>> scores[500] = 30.0
    >>> rarity = calibrated(scores, CalibrationSettings(block_rows=10))
    >>> int(np.isnan(rarity).sum()), int(np.nanargmax(rarity)), bool(rarity[500] > 2)
    (200, 500, True)
    """
    table = shape_table(settings.suspicious_rarity)
    learnt: list[float] = []
    waiting: list[float] = []  # to be learnt, or in doubt to be accepted
    evidence, in_doubt = 0.0, False
    tail: PredictiveTail | None = None
    reference: PredictiveTail | None = None
    found = np.full(len(scores), np.nan)
    for begin in range(0, len(scores), settings.block_rows):
        block = scores[begin : begin + settings.block_rows]
        if tail is not None:
            found[begin : begin + len(block)] = tail.rarity(block)
        known = block[~np.isnan(block)]
        if len(block) < settings.block_rows or 2 * len(known) < settings.block_rows:
            continue
        may_learn = abs(known.max()) <= MAX_SCORE
        if tail is not None and reference is not None:
            rarity = tail.rarity(known.max(keepdims=True))[0]
            is_suspicious = rarity >= settings.suspicious_rarity
            rise = min(rarity, settings.suspicious_rarity) - settings.allowance
            evidence = min(max(evidence + rise, 0.0), settings.doubt)
            if evidence == 0:
                waiting = [] if in_doubt else waiting
                in_doubt = False
            elif evidence == settings.doubt or len(waiting) >= settings.least_blocks - 1:
                in_doubt = True
            has_drifted = tail.l1 - reference.l1 > settings.most_drift * reference.l2
            may_learn &= in_doubt or not (is_suspicious or has_drifted)
        if may_learn:
            waiting.append(float(np.float32(known.max())))
        if in_doubt or evidence > 0 or not waiting:
            continue
        learnt += waiting
        waiting = []
        if len(learnt) >= settings.least_blocks:
            newest = np.array(learnt[-settings.kept_blocks :])
            whole = max(settings.least_blocks - (len(learnt) - len(newest)), 0)
            tail = PredictiveTail.fit(
                newest, whole=whole, table=table, least_scale=settings.least_scale
            )
            reference = reference or tail
    return found


def level_of(bank: CalibrationBank, rarity: float) -> FloatArray:
    """float64[n]: the score of each series that has this rarity now; NaN while nothing is known."""
    series = np.arange(len(bank))

    def rarity_of(score: FloatArray) -> FloatArray:
        asked = CalibrationBank(bank.settings, max_series=len(bank))
        asked.restore(bank.snapshot())
        return asked.follow(series, np.ones(len(bank), np.int64), score)

    low, high = np.zeros(len(bank)), np.full(len(bank), 1e6)
    for _ in range(80):
        middle = 0.5 * (low + high)
        is_below = rarity_of(middle) < rarity
        low, high = np.where(is_below, middle, low), np.where(is_below, high, middle)
    return np.where(bank.is_known, high, np.nan)
