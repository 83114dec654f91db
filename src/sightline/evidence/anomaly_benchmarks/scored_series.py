"""How the benchmarks run the scorers: one set of settings for all series of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum

import numpy as np

from sightline.errors import UsageError
from sightline.perceive.normal.combination import combined_scores
from sightline.perceive.normal.command_context import command_context
from sightline.perceive.normal.forecast import ForecastDetector, ForecastSettings
from sightline.perceive.normal.series_detector import SeriesDetector
from sightline.perceive.normal.settings import NormalSettings, learning_rows
from sightline.perceive.normal.spectrum_detector import SpectrumDetector
from sightline.records.windows import FloatArray


class Scorer(StrEnum):
    """Who says how unusual a sample is.

    MEMORY: distance to the windows of the past. FORECAST: what a forecaster did not expect.
    SPECTRUM: distance to the spectra of the past. BOTH: memory and forecast combined; ALL: the
    three, by :func:`.combined_scores`.
    """

    MEMORY = "memory"
    FORECAST = "forecast"
    SPECTRUM = "spectrum"
    BOTH = "both"
    ALL = "all"


WEIGHTS: Mapping[Scorer, Mapping[Scorer, float]] = {
    Scorer.MEMORY: {Scorer.MEMORY: 1.0},
    Scorer.FORECAST: {Scorer.FORECAST: 1.0},
    Scorer.SPECTRUM: {Scorer.SPECTRUM: 1.0},
    Scorer.BOTH: {Scorer.MEMORY: 2.0, Scorer.FORECAST: 1.0},
    Scorer.ALL: {Scorer.MEMORY: 2.0, Scorer.FORECAST: 1.0, Scorer.SPECTRUM: 1.0},
}
"""Who is asked, and how much each counts: a second opinion counts half."""


def series_scores(
    values: FloatArray,
    settings: NormalSettings,
    *,
    learning: int | None = None,
    scorer: Scorer = Scorer.MEMORY,
    forecast: ForecastSettings | None = None,
    commands: FloatArray | None = None,
) -> FloatArray:
    """float64[n]: scores, 0 while learning and where nothing is known.

    Args:
        values: float64[n], in order of time.
        settings: of the memories; where it learns nothing, the forecaster does not either.
        learning: rows to learn from; default: :func:`.learning_rows`.
        scorer: who is asked.
        forecast: of the forecaster.
        commands: float64[n, c], for the forecaster: whether any of them was given.
    """
    begin = learning_rows(len(values)) if learning is None else learning
    found = np.zeros(len(values))
    asked: list[FloatArray] = []
    weights: list[float] = []
    for one, weight in WEIGHTS[scorer].items():
        try:
            if one is Scorer.FORECAST:
                score = _forecast_scores(values, begin, _beside(forecast, settings), commands)
            else:
                detector = SpectrumDetector if one is Scorer.SPECTRUM else SeriesDetector
                state = detector.learn(values[:begin], settings)
                score = state.follow(values[begin:])[0].score
        except UsageError:
            # Too little to learn from: nothing can be said of such a series, and nothing is.
            continue
        asked.append(score)
        weights.append(weight)
    if asked:
        # One opinion stands to the last bit; a combination rounds.
        score = asked[0] if len(asked) == 1 else combined_scores(asked, weights=weights)
        found[begin:] = np.nan_to_num(score, nan=0.0)
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


def _forecast_scores(
    values: FloatArray, begin: int, settings: ForecastSettings, commands: FloatArray | None
) -> FloatArray:
    if commands is None:
        return ForecastDetector.learn(values[:begin], settings).follow(values[begin:])[0].score
    # One column, whatever the commands are: with few rows to learn from, many columns fit noise.
    any_command = (commands != 0).any(axis=1, keepdims=True).astype(np.float64)
    inputs = command_context(any_command)
    state = ForecastDetector.learn(values[:begin], settings, inputs[:begin])
    return state.follow(values[begin:], inputs[begin:])[0].score


def _beside(forecast: ForecastSettings | None, settings: NormalSettings) -> ForecastSettings:
    """The forecaster's settings; its own choice to learn nothing stands, too."""
    given = forecast or ForecastSettings()
    is_frozen = settings.learns_below is not None and settings.learns_below <= 0
    return replace(given, learns=given.learns and not is_frozen)
