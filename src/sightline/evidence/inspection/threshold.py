"""The score from which a part is rejected: from a rate of false rejects, with its exact bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sightline.errors import UsageError
from sightline.evidence.bounds import binomial_upper
from sightline.perceive.inspection.floats import Floats

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseRejects:
    """A threshold and what holds of it.

    Attributes:
        score: parts at and above it are rejected.
        asked: share of good parts that may be rejected.
        bound: with ``confidence``, no greater share of good parts is.
        confidence: one-sided.
        parts: good parts held back, from which it was set.
        above: how many of them are above it.
        holds: whether ``bound`` is within ``asked``; where too few parts were held back, it is not.
    """

    score: float
    asked: float
    bound: float
    confidence: float
    parts: int
    above: int

    @property
    def holds(self) -> bool:
        return self.bound <= self.asked


def part_scores(score: Sequence[float], part: Sequence[str]) -> Floats:
    """float64, of each part the greatest score of its pictures: one picture rejects a part."""
    _, part_of = np.unique(np.array(part), return_inverse=True)
    greatest = np.full(int(part_of.max()) + 1, -np.inf)
    np.maximum.at(greatest, part_of, np.array(score))
    return greatest


def set_threshold(good: Floats, *, rate: float, confidence: float = CONFIDENCE) -> FalseRejects:
    """The lowest score of a held-back part for which the bound is within the rate.

    If k of n parts lie strictly above an order statistic, the share of all good parts above it is
    at most ``binomial_upper(k, n)`` with the stated confidence, whatever their distribution (S. S.
    Wilks, Determination of sample sizes for setting tolerance limits, 1941). Where even the
    greatest score does not bring the bound within the rate, it is taken, and ``holds`` is False.

    Args:
        good: scores of good parts that nothing was learnt from.
        rate: share of good parts that may be rejected, above 0 and below 1.
        confidence: one-sided.

    Raises:
        UsageError: there are no scores, or the rate is out of its range.

    >>> found = set_threshold(np.arange(100.0), rate=0.05)
    >>> round(found.score, 6), found.above, round(found.bound, 4), found.holds
    (98.0, 1, 0.0466, True)
    """
    if not len(good) or not 0 < rate < 1:
        raise UsageError(
            expected="scores of good parts, and a rate above 0 and below 1",
            got=f"{len(good)} scores, rate {rate}",
            where="the threshold of an inspector",
            action="hold good parts back; 0.05 is usual",
        )
    ordered = np.sort(good)[::-1]
    above = 0
    while above + 1 < len(ordered) and (
        binomial_upper(above + 1, len(ordered), confidence=confidence) <= rate
    ):
        above += 1
    return FalseRejects(
        score=float(np.nextafter(ordered[above], np.inf)),
        asked=rate,
        bound=binomial_upper(above, len(ordered), confidence=confidence),
        confidence=confidence,
        parts=len(ordered),
        above=above,
    )
