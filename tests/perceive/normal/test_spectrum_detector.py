"""The detector on spectra: the contract of all detectors, and what is its own."""

import numpy as np
import pytest

from perceive.normal.detector_contract import LEARNING, DetectorContract, wave
from sightline.errors import UsageError
from sightline.perceive.normal.settings import NormalSettings
from sightline.perceive.normal.spectrum_detector import SpectrumDetector


class TestSpectrumDetector(DetectorContract):
    detector = SpectrumDetector


def test_another_pace_stands_out_though_every_value_is_usual():
    values = wave(3000)
    values[2000:2100] = wave(100, period=13.0, seed=1)
    score = SpectrumDetector.learn(values[:750]).follow(values[750:])[0].score
    assert 2000 <= 750 + np.argmax(score) < 2230
    assert score.max() > 4.0


def test_a_level_is_no_matter_for_a_spectrum_once_it_lasts():
    values = wave(3000)
    values[1000:] += 50.0
    score = SpectrumDetector.learn(values[:750]).follow(values[750:])[0].score
    assert score[1200 - 750 :].max() < 4.0


def test_a_frozen_one_learns_nothing():
    values = np.concatenate([wave(1000), wave(4000, period=9.0, seed=1)])
    frozen = SpectrumDetector.learn(values[:LEARNING], NormalSettings(learns_below=0.0))
    assert frozen.follow(values[LEARNING:])[0].score[-1000:].min() > 4.0
    learning = SpectrumDetector.learn(values[:LEARNING])
    assert learning.follow(values[LEARNING:])[0].score[-1000:].max() < 4.0


def test_learning_below_a_score_is_refused():
    with pytest.raises(UsageError, match="learns_below"):
        SpectrumDetector.learn(wave(), NormalSettings(learns_below=5.0))


def test_a_series_that_was_exactly_zero_is_seen_to_move():
    values = np.zeros(1000)
    values[700:] = 0.3
    score = SpectrumDetector.learn(values[:LEARNING]).follow(values[LEARNING:])[0].score
    assert np.isfinite(score).all()
    assert score[: 700 - LEARNING].max() == 0.0
    assert score[700 - LEARNING : 720 - LEARNING].max() > 10.0


def test_another_format_is_refused():
    plain = SpectrumDetector.learn(wave()).as_mapping() | {"format": 99}
    with pytest.raises(UsageError, match="format"):
        SpectrumDetector.from_mapping(plain)
