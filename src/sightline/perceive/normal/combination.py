"""Several opinions of one series as one score, without labels: agreement counts.

Each scorer speaks in deviations beyond what is usual for it, so that their scores can be compared
as they are. As the widths of one scorer, they are averaged as logarithms: what all find unusual
stays, what one alone shouts is taken down to the root of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sightline.errors import UsageError
from sightline.perceive.normal.portable_logarithm import expm1, log1p
from sightline.records.windows import FloatArray

COMBINATION_VERSION = "combination/1"


def combined_scores(
    scores: Sequence[FloatArray], *, weights: Sequence[float] | None = None
) -> FloatArray:
    """exp(weighted mean of log(1 + score)) - 1 over the scorers that know something of a row.

    Row by row: cutting a stream changes no bit.

    Args:
        scores: float64[n] of each scorer, 0 or more; NaN where it knows nothing.
        weights: of the scorers, > 0; default: all alike.

    Returns:
        float64[n]; NaN where none knows anything.

    Raises:
        UsageError: no scorer, scores of different lengths, or weights that are not theirs.

    >>> memory, forecast = np.array([8.0, 8.0, 0.0, 3.0]), np.array([8.0, 0.0, 8.0, np.nan])
    >>> combined_scores([memory, forecast]).round(6).tolist()
    [8.0, 2.0, 2.0, 3.0]
    """
    given = [1.0] * len(scores) if weights is None else list(weights)
    is_sound = len(given) == len(scores) > 0 and all(w > 0 and np.isfinite(w) for w in given)
    if not is_sound or len({len(score) for score in scores}) != 1:
        raise UsageError(
            expected="scores of one length, one or more, and a weight above 0 for each",
            got=f"{[len(score) for score in scores]} rows, weights {given}",
            where="combined_scores",
            action="give the scores of the same rows",
        )
    total, weight = np.zeros(len(scores[0])), np.zeros(len(scores[0]))
    for score, share in zip(scores, given, strict=True):
        is_known = ~np.isnan(score)
        total += share * np.where(is_known, log1p(np.maximum(score, 0.0)), 0.0)
        weight += share * is_known
    with np.errstate(invalid="ignore"):  # 0 / 0 where none knows
        found: FloatArray = expm1(total / weight)
    return found
