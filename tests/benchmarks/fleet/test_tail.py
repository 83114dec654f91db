"""Levels that are passed once in so many blocks, from few blocks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import genextreme

from benchmarks.fleet.tail import ExtremeTail, block_maxima
from sightline.errors import UsageError


def fitted(shape, n=200, seed=0, location=3.0, scale=0.5):
    rng = np.random.default_rng(seed)
    maxima = genextreme.rvs(-shape, loc=location, scale=scale, size=n, random_state=rng)
    return ExtremeTail.fit(maxima, least_scale=1e-9), maxima


@given(shape=st.just(0.0) | st.floats(1e-6, 0.5), y=st.floats(-1, 20))
def test_the_tail_is_that_of_the_generalised_extreme_value_distribution(shape, y):
    tail = ExtremeTail(location=3.0, scale=0.5, shape=shape, blocks=100)
    x = np.array([3.0 + 0.5 * y])
    expected = genextreme.sf(x, -shape, loc=3.0, scale=0.5)
    np.testing.assert_allclose(tail.probability_above(x), expected, rtol=1e-6)


@given(shape=st.floats(0, 0.5), exponent=st.floats(-12, -0.1))
def test_a_level_is_passed_as_often_as_asked(shape, exponent):
    tail = ExtremeTail(location=3.0, scale=0.5, shape=shape, blocks=100)
    share = 10**exponent
    assert tail.probability_above(np.array([tail.level(share)]))[0] == pytest.approx(share)


@pytest.mark.parametrize("shape", [0.0, 0.2])
def test_fitted_parameters_are_near_the_true_ones(shape):
    tail, _ = fitted(shape, n=5000)
    assert tail.location == pytest.approx(3.0, abs=0.03)
    assert tail.scale == pytest.approx(0.5, abs=0.03)
    assert tail.shape == pytest.approx(shape, abs=0.05)


def test_a_tail_that_seems_to_end_is_not_believed():
    tail, maxima = fitted(-0.4)
    assert tail.shape == 0.0
    assert tail.level(1e-6) > maxima.max()


def test_confident_levels_hold_in_most_samples_however_few_the_blocks():
    share, held = 1e-3, 0
    for seed in range(200):
        tail, _ = fitted(0.0, n=30, seed=seed)
        level = tail.level(share, confidence=0.95)
        held += genextreme.sf(level, 0.0, loc=3.0, scale=0.5) <= share
    assert held >= 180


def test_a_score_that_never_moved_has_the_scale_it_was_given():
    tail = ExtremeTail.fit(np.full(20, 7.0), least_scale=0.25)
    assert (tail.location, tail.scale) == (7.0, 0.25)


def test_with_few_blocks_nothing_is_known():
    with pytest.raises(UsageError, match="wait for more blocks"):
        ExtremeTail.fit(np.arange(9.0), least_scale=1.0)


@pytest.mark.parametrize(("share", "confidence"), [(0.0, 0.5), (1.0, 0.5), (0.1, 1.0)])
def test_impossible_shares_are_refused(share, confidence):
    with pytest.raises(UsageError):
        fitted(0.0)[0].level(share, confidence=confidence)


def test_blocks_without_a_score_have_no_maximum():
    assert block_maxima(np.full(3, np.nan), np.array([0, 1, 2])).tolist() == []


def test_a_tail_survives_json():
    tail, _ = fitted(0.1)
    assert ExtremeTail.from_mapping(tail.as_mapping()) == tail
