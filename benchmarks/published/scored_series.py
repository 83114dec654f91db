"""How the benchmarks ask the detector: one set of settings for all series of all of them."""

from __future__ import annotations

import numpy as np

from sightline.errors import UsageError
from sightline.perceive.normal import NormalSettings, SeriesDetector, learning_rows
from sightline.records.windows import FloatArray


def series_scores(
    values: FloatArray, settings: NormalSettings, *, learning: int | None = None
) -> FloatArray:
    """float64[n]: scores, 0 while learning and where nothing is known.

    Args:
        values: float64[n], in order of time.
        settings: of the detector.
        learning: rows to learn from; default: :func:`.learning_rows`.
    """
    begin = learning_rows(len(values)) if learning is None else learning
    found = np.zeros(len(values))
    try:
        detector = SeriesDetector.learn(values[:begin], settings)
    except UsageError:
        return found  # too little to learn from: nothing can be said of such a series
    found[begin:] = np.nan_to_num(detector.follow(values[begin:])[0], nan=0.0)
    return found


def joint_scores(scores: FloatArray) -> FloatArray:
    """float64[n] of float64[m, n]: the strongest of m sensors, less ln m.

    Scores fall off about exponentially, in units of one deviation: of m of them the strongest is
    higher by ln m (union bound).

    >>> joint_scores(np.array([[3.0, 1.0], [2.0, 5.0]])).round(3).tolist()
    [2.307, 4.307]
    """
    found: FloatArray = scores.max(axis=0) - np.log(len(scores))
    return found
