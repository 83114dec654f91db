"""The detector of one series: the contract of all detectors, and what is its own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from perceive.normal.detector_contract import LEARNING, DetectorContract, wave
from sightline.errors import UsageError
from sightline.perceive.normal import usual_distance_kernels, usual_distance_reference
from sightline.perceive.normal.series_detector import SeriesDetector
from sightline.perceive.normal.settings import NormalSettings

VALUES = st.floats(-100, 100, width=32) | st.just(np.nan)


class TestSeriesDetector(DetectorContract):
    detector = SeriesDetector


# --- kernels ------------------------------------------------------------------------------------


@given(
    vectors=arrays(np.float64, st.tuples(st.integers(1, 15), st.just(2)), elements=VALUES),
    exclude=st.integers(1, 5),
    step=st.integers(1, 3),
)
def test_the_kernel_leaves_out_as_specified(vectors, exclude, step):
    np.testing.assert_allclose(
        usual_distance_kernels.left_out(vectors, exclude, step),
        usual_distance_reference.left_out(vectors, exclude, step),
    )


@given(rows=arrays(np.float64, st.tuples(st.integers(0, 20), st.just(2)), elements=VALUES))
def test_the_kernel_standardises_as_specified(rows):
    distance, learnt = np.ascontiguousarray(rows.T)
    ours, *after = usual_distance_kernels.standardised(
        distance, learnt, 5, 1.0, 0.5, 3.0, 1e-3, 0.12
    )
    plain, usual = usual_distance_reference.standardised(
        distance, learnt, (5, 1.0, 0.5), 3.0, 1e-3, 0.12
    )
    np.testing.assert_allclose(ours, plain, rtol=1e-9)
    np.testing.assert_allclose(after, usual, rtol=1e-9)


# --- learning -----------------------------------------------------------------------------------


def changed_for_good(n=4000, at=1500):
    values = wave(n)
    values[at:] += 3.0
    return values


def test_a_change_that_lasts_is_normal_later_if_all_is_learnt():
    values = changed_for_good()
    detector = SeriesDetector.learn(values[:LEARNING], NormalSettings(learns_below=None))
    score = detector.follow(values[LEARNING:])[0].score
    assert np.nanmax(score[1500 - LEARNING : 1600 - LEARNING]) > 10
    assert np.nanmax(score[-1000:]) < 3


def test_a_change_that_lasts_stays_unusual_if_only_the_usual_is_learnt():
    values = changed_for_good()
    detector = SeriesDetector.learn(values[:LEARNING], NormalSettings(learns_below=10.0))
    score = detector.follow(values[LEARNING:])[0].score
    assert np.nanmin(score[1640 - LEARNING :]) > 10


def test_a_slow_drift_is_followed():
    values = wave(20_000) + np.linspace(0, 20, 20_000)
    score = SeriesDetector.learn(values[:750]).follow(values[750:])[0].score
    assert np.mean(score > 5) < 0.01


def test_widths_that_the_learning_stretch_is_too_short_for_are_left_out():
    assert SeriesDetector.learn(wave(100)).widths == (16, 32)


def test_another_format_is_refused():
    plain = SeriesDetector.learn(wave()).as_mapping() | {"format": 99}
    with pytest.raises(UsageError, match="format"):
        SeriesDetector.from_mapping(plain)


@pytest.mark.parametrize(
    "wrong", [{"widths": (3,)}, {"memory_size": 0}, {"delay": 0}, {"clip": 0.0}]
)
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(UsageError):
        NormalSettings(**wrong)


def test_a_series_that_was_exactly_zero_is_known_and_any_movement_is_unusual():
    values = np.zeros(600)
    values[500:] = 1e-3
    scores, _ = SeriesDetector.learn(values[:400]).follow(values[400:])
    assert np.nanmax(scores.score[:90]) == 0.0
    assert np.nanmax(scores.score[100:]) > 4.0
