"""Channels as spacecraft have them: nearly binary, hardly moving, short. No scorer may run wild."""

import numpy as np
import pytest

from sightline.perceive.normal.combination import combined_scores
from sightline.perceive.normal.forecast import ForecastDetector
from sightline.perceive.normal.score_events import EventRule, score_events
from sightline.perceive.normal.series_detector import SeriesDetector
from sightline.perceive.normal.spectrum_detector import SpectrumDetector

ROWS, LEARNT = 2200, 330  # 15 %, as the benchmarks have it


def channel(kind, seed=0):
    """float64[ROWS] in -1 to 1, without any anomaly."""
    rng = np.random.default_rng(seed)
    place = np.arange(ROWS)
    switches = rng.random(ROWS) < 0.02
    return {
        "binary": np.where(np.cumsum(switches) % 2, 1.0, -1.0),
        "pulses": np.where(switches, 1.0, -1.0),
        "square": np.where(place // 25 % 2, 0.5, -0.5),
        "constant": np.full(ROWS, -1.0),
        "quantised": np.round(np.sin(place / 11) * 4) / 4,
        "steps": np.clip(np.cumsum(rng.normal(0, 0.3, ROWS) * switches), -1, 1),
        "noise": np.clip(rng.normal(0, 0.2, ROWS), -1, 1),
        "one-sided": np.minimum(rng.exponential(0.1, ROWS) - 1, 1.0),
    }[kind]


def scores_of(values):
    """Memory, forecast, spectrum and their combinations, of the rows that are judged."""
    each = [
        detector.learn(values[:LEARNT]).follow(values[LEARNT:])[0].score
        for detector in (SeriesDetector, ForecastDetector, SpectrumDetector)
    ]
    return {
        "memory": each[0],
        "forecast": each[1],
        "spectrum": each[2],
        "both": combined_scores(each[:2], weights=[2.0, 1.0]),
        "all": combined_scores(each, weights=[2.0, 1.0, 1.0]),
    }


KINDS = ["binary", "pulses", "square", "constant", "quantised", "steps", "noise", "one-sided"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_a_channel_without_anomalies_does_not_flood(kind, seed):
    for name, score in scores_of(channel(kind, seed)).items():
        assert np.isfinite(score).all(), name
        assert np.mean(score >= 4.0) < 0.15, name
        assert len(score_events(score, EventRule())) <= 4, name


@pytest.mark.parametrize("kind", KINDS)
def test_scores_stay_finite_whatever_comes(kind):
    values = channel(kind)
    values[1000:1010] = [1e9, -1e9, 1e300, -1e300, 0.0, 1e-300, np.inf, -np.inf, np.nan, 5.0]
    score = ForecastDetector.learn(values[:LEARNT]).follow(values[LEARNT:])[0].score
    assert np.isfinite(score).all()


@pytest.mark.parametrize("kind", ["constant", "square", "quantised"])
def test_a_change_of_such_a_channel_is_seen_by_all(kind):
    values = channel(kind)
    values[1500:1530] = 0.1
    for name, score in scores_of(values).items():
        first = 1500 - LEARNT
        assert score[first : first + 128].max() > 4.0, name
        # At first a memory of a pattern that repeats exactly has not seen it at all its phases.
        assert score[first - 300 : first].max() < 4.0, name


def test_a_channel_that_was_exactly_zero_is_seen_to_move():
    values = np.zeros(ROWS)
    values[1500:] = 0.3
    both = scores_of(values)["both"]
    assert np.nanmax(both[: 1500 - LEARNT]) == 0.0
    assert both[1500 - LEARNT : 1564 - LEARNT].max() > 4.0


def test_many_commands_in_a_short_stretch_do_not_make_the_forecaster_flood():
    rng = np.random.default_rng(3)
    commands = (rng.random((ROWS, 50)) < 0.02).astype(float)
    values = np.sin(np.arange(ROWS) / 9) + rng.normal(0, 0.1, ROWS)
    state = ForecastDetector.learn(values[:LEARNT], inputs=commands[:LEARNT])
    score = state.follow(values[LEARNT:], commands[LEARNT:])[0].score
    assert np.isfinite(score).all()
    assert np.mean(score >= 4.0) < 0.05
